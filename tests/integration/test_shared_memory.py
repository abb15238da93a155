"""What balancers cost in memory, and that it is given back."""

import pathlib
import re
import subprocess

import pytest

from server import cluster, wait_until, with_routes

SESSION = "JSESSIONID=12345"


def anonymous(server):
    """[(start, end)] of the pieces of anonymous shared memory that the parent has: a mutex a balancer is httpd's."""
    maps = pathlib.Path(f"/proc/{server.process.pid}/maps").read_text()
    return [(int(start, 16), int(end, 16))
            for start, end in re.findall(r"^(\w+)-(\w+) rw-s .*/dev/zero", maps, re.MULTILINE)]


def own(server):
    """How many states of balancers are in each of those that this module has."""
    found = []
    with open(f"/proc/{server.process.pid}/mem", "rb", buffering=0) as memory:
        for start, end in anonymous(server):
            memory.seek(start)
            marks = memory.read(end - start).count(b"kcitsbl")
            found += [marks] if marks else []
    return found


def site(*names, method="sticky", member="http://127.0.0.1:1"):
    return "".join(cluster(member, settings=f"lbmethod={method}", name=name, path=f"/{name}") for name in names)


def restart(server, configuration):
    server.configure(configuration)
    server.graceful()


# -- It is given back -------------------------------------------------------------------------------------------------


def test_graceful_restarts_with_ever_new_balancers_leave_no_shared_memory_behind(httpd):
    server = httpd(site("a0", "b0", "c0"), processes=1)
    first = len(anonymous(server))
    assert own(server) == [3]
    after = []
    for number in range(1, 61):
        restart(server, site(f"a{number}", f"b{number}", f"c{number}"))
        after.append((len(anonymous(server)), own(server)))
    # Those of the balancers there are, and of those that the start before had.
    assert after == [(first + 1, [3, 3])] * 60


def test_shared_memory_is_kept_as_long_as_one_balancer_in_it_is_there(httpd, backends):
    [backend] = backends(1)
    server = httpd(site("kept", "gone", member=backend.url), processes=1)
    assert own(server) == [2]
    assert server.bodies(3, path="/kept") == ["backend1"] * 3
    for number in range(4):
        restart(server, site("kept", f"new{number}", member=backend.url))
        counts = re.findall(r"balancer://kept: sticky; requests so far by affinity: (.*)$", server.log(), re.MULTILINE)
        assert "new 3" in counts[-1]
    assert sorted(own(server)) == [1, 1, 2]
    restart(server, site("other"))
    assert sorted(own(server)) == [1, 1, 2]
    restart(server, site("other"))
    assert own(server) == [1]


@pytest.mark.parametrize("without, found", [(1, True), (2, False)])
def test_the_counts_of_a_balancer_are_kept_for_one_restart_without_it(httpd, backends, without, found):
    [backend] = backends(1)
    server = httpd(site("mine", "other", member=backend.url), processes=1)
    server.bodies(3, path="/mine")
    for _ in range(without):
        restart(server, site("other"))
    restart(server, site("mine", "other", member=backend.url))
    counts = re.findall(r"balancer://mine: sticky; requests so far by affinity: (.*)$", server.log(), re.MULTILINE)
    assert ["new 3" in line for line in counts] == [False, found]


# -- Balancers of another method, and virtual hosts ------------------------------------------------------------------


def test_balancers_of_other_methods_lie_in_one_piece(httpd):
    others = site(*(f"b{number}" for number in range(40)), method="byrequests")
    assert own(httpd(others, processes=1)) == [40]
    assert sorted(own(httpd(site("mine", "mine2", "mine3") + others, processes=1))) == [3, 40]


# Counts what C++ allocates, which is this module alone, and says it when the process ends.
COUNT = r"""
#include <cstdio>
#include <cstdlib>
#include <new>
#include <string>
#include <unistd.h>

static unsigned long count = 0;

void* operator new(std::size_t size) {
    ++count;
    if (void* memory = std::malloc(size ? size : 1)) return memory;
    throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

__attribute__((destructor)) static void say() {
    const char* folder = std::getenv("COUNT_IN");
    char path[500];
    std::snprintf(path, sizeof(path), "%s/%d", folder, static_cast<int>(getpid()));
    if (std::FILE* file = std::fopen(path, "w")) {
        std::fprintf(file, "%lu", count);
        std::fclose(file);
    }
}
"""

# Lets the calls of mmap() with these numbers fail, of those that this module makes in one process.
FAIL = r"""
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <sys/mman.h>

extern "C" void* mmap(void* start, size_t size, int protection, int flags, int file, off_t offset) noexcept {
    using Mmap = void* (*)(void*, size_t, int, int, int, off_t);
    static const auto next = reinterpret_cast<Mmap>(dlsym(RTLD_NEXT, "mmap"));
    static char call = '0';
    Dl_info info;
    if (dladdr(__builtin_return_address(0), &info) && std::strstr(info.dli_fname, "mod_lbmethod_sticky") &&
        std::strchr(std::getenv("MMAP_FAILS"), ++call)) {
        errno = ENOMEM;
        return MAP_FAILED;
    }
    return next(start, size, protection, flags, file, offset);
}
"""


@pytest.fixture(scope="session")
def library(tmp_path_factory):
    """library(source): a file to preload."""
    def build(source):
        folder = tmp_path_factory.mktemp("library")
        (folder / "library.cpp").write_text(source)
        subprocess.run(["g++", "-std=c++20", "-O1", "-shared", "-fPIC", "-o", folder / "library.so",
                        folder / "library.cpp", "-ldl"], check=True)
        return str(folder / "library.so")
    return build


def test_a_thousand_virtual_hosts_that_inherit_balancers_cost_no_memory(httpd, library, open_folder):
    open_folder.chmod(0o777)
    count = library(COUNT)
    balancers = site(*(f"b{number}" for number in range(40)))
    counts = []
    for hosts in (1, 1000):
        configuration = balancers + "".join(f"<VirtualHost *>\nServerName host{number}.example\n</VirtualHost>\n"
                                            for number in range(hosts))
        server = httpd(configuration, processes=1, environment={"LD_PRELOAD": count, "COUNT_IN": str(open_folder)})
        parent = server.process.pid
        server.stop()
        counts.append(int((open_folder / str(parent)).read_text()))
    assert counts[0] == counts[1] > 40


# -- No memory -------------------------------------------------------------------------------------------------------

NO_MEMORY = r"\[lbmethod_sticky:warn\] .*balancers of other methods cannot have lbmethod=sticky before the next " \
            r"restart: no shared memory: Cannot allocate memory"
FALLBACK = r"balancer://other: workers are chosen by plain round robin until this is mended: its shared memory is missing"
NOT_SHOWN = "balancer://other: cannot be shown: its shared memory is missing"


@pytest.mark.parametrize("with_ours", [True, False], ids=["beside balancers with it", "alone"])
def test_without_memory_for_balancers_of_other_methods_httpd_starts_and_they_work(httpd, backends, library, with_ours):
    nodes = backends(2)
    ours = cluster(*with_routes(nodes), name="ours", path="/ours", more="LBStickySession JSESSIONID")
    others = cluster(*with_routes(nodes), settings="lbmethod=byrequests")
    others = others.replace("mycluster", "other")
    server = httpd((ours if with_ours else "") + others, processes=1, expected=[NO_MEMORY, FALLBACK, NOT_SHOWN],
                   environment={"LD_PRELOAD": library(FAIL), "MMAP_FAILS": "3" if with_ours else "2"})
    assert len(re.findall(NO_MEMORY, server.log())) == 1
    assert server.bodies(4) == ["backend1", "backend2"] * 2
    if with_ours:
        assert server.bodies(3, path="/ours", cookie=f"{SESSION}.node2") == ["backend2"] * 3
    server.manager("other", b_lbm="sticky")
    assert sorted(server.bodies(4)) == ["backend1"] * 2 + ["backend2"] * 2
    assert len(re.findall(FALLBACK, server.log())) == 1
    # There is memory again: mmap() failed once.
    server.graceful()
    server.manager("other", b_lbm="sticky")
    assert len(set(server.bodies(4, cookie="lbsticky_other=node2"))) == 1
    assert len(re.findall(FALLBACK, server.log())) == len(re.findall(NO_MEMORY, server.log())) == 1


@pytest.mark.parametrize("call", ["1", "2"], ids=["the table of processes", "the balancers' own"])
def test_without_memory_for_balancers_with_this_method_httpd_says_so_and_does_not_start(httpd, library, call):
    with pytest.raises(AssertionError, match="lbmethod sticky cannot start: no shared memory: Cannot allocate memory"):
        httpd(site("mine"), environment={"LD_PRELOAD": library(FAIL), "MMAP_FAILS": call},
              expected=["cannot start", "AH00020"])


def test_a_method_chosen_in_the_manager_keeps_its_counts_over_a_restart(httpd, backends):
    nodes = backends(2)
    server = httpd("BalancerPersist On" + cluster(*with_routes(nodes), settings="lbmethod=byrequests"), processes=1)
    server.manager("mycluster", b_lbm="sticky")
    server.bodies(3)
    for _ in range(2):
        old = server.children()
        server.graceful()
        wait_until(lambda: not old & server.children(), "the generation before has ended")
        counts = re.findall(r"mycluster: sticky; requests so far by affinity: (.*)$", server.log(), re.MULTILINE)
        assert counts[-1] == "cookie 0, route 0, learned 0, hash 0, new 3, failover 0, overload 0, refused 0"
