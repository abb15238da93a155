// Preloaded into httpd: counts the calls of malloc, calloc and realloc of each thread. mod_lbbench asks for the number.
#include <stddef.h>

extern void* __libc_malloc(size_t);
extern void* __libc_calloc(size_t, size_t);
extern void* __libc_realloc(void*, size_t);

static __thread unsigned long allocations;

unsigned long lbbench_allocations(void) {
    return allocations;
}

void* malloc(size_t size) {
    ++allocations;
    return __libc_malloc(size);
}

void* calloc(size_t number, size_t size) {
    ++allocations;
    return __libc_calloc(number, size);
}

void* realloc(void* memory, size_t size) {
    ++allocations;
    return __libc_realloc(memory, size);
}
