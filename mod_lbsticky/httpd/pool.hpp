// C++ objects in httpd's pools.
#pragma once

#include <new>
#include <utility>

#include "httpd/apache.hpp"

namespace lbsticky {

// Makes an object that is destroyed when the pool is cleared or destroyed. Throws what T's constructor throws.
template <typename T, typename... Arguments>
T* make_in(apr_pool_t* pool, Arguments&&... arguments) {
    static_assert(alignof(T) <= 8);  // the alignment that apr_palloc() promises
    auto* object = new (apr_palloc(pool, sizeof(T))) T{std::forward<Arguments>(arguments)...};
    const auto destroy = [](void* address) -> apr_status_t {
        static_cast<T*>(address)->~T();
        return APR_SUCCESS;
    };
    apr_pool_cleanup_register(pool, object, destroy, apr_pool_cleanup_null);
    return object;
}

}  // namespace lbsticky
