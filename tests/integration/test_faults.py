"""Whatever breaks inside the module, requests are served, by plain rotation, and the error log says why."""

import re
import subprocess
import time

import pytest

from server import BACKEND_IS_DOWN, RESOLVERS, by_either, cluster, wait_until

SESSION = "JSESSIONID=12345"

REASON = r"\[lbmethod_sticky:error\] \[pid (\d+).*balancer://mycluster: workers are chosen by plain round robin " \
         r"until this is mended: (.*)$"
UNNOTED = r"\[lbmethod_sticky:error\] \[pid (\d+).*what was decided for the request could not be noted: (.*)$"
EXPECTED = [REASON, UNNOTED, r"balancer://mycluster: (Load is not up to date|cannot be shown): ",
            r"balancer-manager is shown without panels: "]

# Which process has served a request, whatever this module makes of it.
TOLD_BY = r"\[pid (\d+)[^\n]*AH01172"
LOG_LEVEL = "info proxy_balancer:debug"


def two_nodes(backends, resolver=RESOLVERS["LBStickySession"]):
    members = [f"{backend.url} route=node{number} retry=600" for number, backend in enumerate(backends, 1)]
    return cluster(*members, **resolver)


def in_every_process(server, count=4, cookie=None):
    return server.in_every_process(lambda: server.bodies(count, cookie=cookie), TOLD_BY)


def reasons(server, pattern=REASON):
    """[(process, reason)] of the error lines so far."""
    return [(int(pid), why) for pid, why in re.findall(pattern, server.log(), re.MULTILINE)]


def sessions_stick_again(server):
    assert set(in_every_process(server, cookie=f"{SESSION}.node2")) == {"backend2"}
    assert len(set(in_every_process(server, cookie=SESSION))) == 1
    assert server.curl(cookie=f"{SESSION}.node1").affinity == "route"
    assert server.curl(cookie=SESSION).affinity == "hash"
    return True


# -- out of memory ------------------------------------------------------------------------------------------------

# Preloaded into httpd. httpd itself gives up where its own memory ends, so only C++ and this module go without.
OUT_OF_MEMORY = r"""
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <new>
#include <unistd.h>

namespace {

bool out_of_memory() noexcept {
    static const char* const flag = std::getenv("OUT_OF_MEMORY");
    const int error = errno;
    const bool is = flag && access(flag, F_OK) == 0;
    errno = error;
    return is;
}

bool is_ours(void* caller) noexcept {
    Dl_info info;
    return dladdr(caller, &info) != 0 && std::strstr(info.dli_fname, "mod_lbmethod_sticky");
}

}  // namespace

void* operator new(std::size_t size) {
    if (void* memory = out_of_memory() ? nullptr : std::malloc(size ? size : 1)) return memory;
    throw std::bad_alloc();
}
void* operator new(std::size_t size, std::align_val_t alignment) {
    const auto to = static_cast<std::size_t>(alignment);
    if (void* memory = out_of_memory() ? nullptr : std::aligned_alloc(to, (size + to - 1) / to * to)) return memory;
    throw std::bad_alloc();
}
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
    return out_of_memory() ? nullptr : std::malloc(size ? size : 1);
}
void* operator new[](std::size_t size) { return operator new(size); }
void* operator new[](std::size_t size, std::align_val_t alignment) { return operator new(size, alignment); }
void* operator new[](std::size_t size, const std::nothrow_t& tag) noexcept { return operator new(size, tag); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, const std::nothrow_t&) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }
void operator delete[](void* memory, const std::nothrow_t&) noexcept { std::free(memory); }

extern "C" void* calloc(std::size_t count, std::size_t size) {
    using Calloc = void* (*)(std::size_t, std::size_t);
    static const auto next = reinterpret_cast<Calloc>(dlsym(RTLD_NEXT, "calloc"));
    if (out_of_memory() && is_ours(__builtin_return_address(0))) return nullptr;
    return next(count, size);
}
"""


@pytest.fixture(scope="session")
def library(tmp_path_factory):
    folder = tmp_path_factory.mktemp("out_of_memory")
    (folder / "library.cpp").write_text(OUT_OF_MEMORY)
    subprocess.run(["g++", "-std=c++20", "-O1", "-shared", "-fPIC", "-o", folder / "library.so", folder / "library.cpp",
                    "-ldl"], check=True)
    return folder / "library.so"


class Memory:
    """What there is of it."""

    def __init__(self, flag):
        self.flag = flag

    def is_gone(self):
        self.flag.touch()

    def is_back(self):
        self.flag.unlink()


@pytest.fixture
def scarce(httpd, library, open_folder):
    """scarce(configuration, …): a Server of three processes, and its Memory."""
    def start(configuration, log_level=LOG_LEVEL, expected=()):
        flag = open_folder / "out-of-memory"
        server = httpd(configuration, processes=3, log_level=log_level, expected=[*EXPECTED, *expected],
                       environment={"LD_PRELOAD": str(library), "OUT_OF_MEMORY": str(flag)})
        return server, Memory(flag)
    return start


def every_process_said_once(server, why="std::bad_alloc"):
    said = reasons(server)
    assert sorted(pid for pid, _ in said) == sorted(server.children())
    assert {reason for _, reason in said} == {why}
    return True


@by_either
@pytest.mark.parametrize("cookie", [None, SESSION, f"{SESSION}.node3"], ids=["no session", "session", "unknown route"])
def test_without_memory_requests_are_served_in_turn_and_each_process_says_why_once(scarce, backends, resolver, cookie):
    server, memory = scarce(two_nodes(backends(2), resolver))
    children = server.children()
    memory.is_gone()
    bodies = in_every_process(server, cookie=cookie)
    assert bodies == ["backend1", "backend2"] * (len(bodies) // 2)
    assert every_process_said_once(server)
    memory.is_back()
    assert sessions_stick_again(server)
    assert every_process_said_once(server)
    assert not reasons(server, UNNOTED)
    assert server.children() == children


def test_without_memory_load_factors_still_count(scarce, backends):
    a, b = backends(2)
    server, memory = scarce(cluster(a.url, f"{b.url} loadfactor=3", settings="lbmethod=sticky"))
    memory.is_gone()
    bodies = server.bodies(40)
    assert (bodies.count("backend1"), bodies.count("backend2")) == (10, 30)


def test_sessions_that_were_not_placed_before_are_placed_without_memory_where_members_are_few(scarce, backends):
    server, memory = scarce(two_nodes(backends(2)))
    in_every_process(server)
    memory.is_gone()
    assert len(set(in_every_process(server, cookie=SESSION))) == 1
    assert not reasons(server)
    memory.is_back()
    assert sessions_stick_again(server)


def test_sessions_that_were_not_placed_before_are_served_in_turn_without_memory(scarce, backends):
    """Of more members than that a process remembers the ids that it has placed, from the second one on."""
    nodes = backends(2)
    members = [f"{node.url}/{n:02} route=node{number}-{n:02}" for n in range(17) for number, node in enumerate(nodes)]
    server, memory = scarce(cluster(*members, more="LBStickySession JSESSIONID"))
    in_every_process(server)
    memory.is_gone()

    def all_have_said_why():
        in_every_process(server, cookie=SESSION)
        return len(reasons(server)) == 3

    wait_until(all_have_said_why, "each process has placed a second id")
    assert every_process_said_once(server)
    bodies = in_every_process(server, cookie=SESSION)
    assert bodies.count("backend1") == bodies.count("backend2")
    memory.is_back()
    wait_until(lambda: len(set(in_every_process(server, cookie=SESSION))) == 1, "the session sticks again")


@by_either
def test_what_a_process_has_done_before_takes_no_memory(scarce, backends, resolver):
    server, memory = scarce(two_nodes(backends(2), resolver))
    reached = {cookie: set(in_every_process(server, cookie=cookie)) for cookie in (None, SESSION, f"{SESSION}.node2")}
    memory.is_gone()
    end = time.monotonic() + 1.5  # everything is compared once a second
    while time.monotonic() < end:
        for cookie, bodies in reached.items():
            assert set(in_every_process(server, cookie=cookie)) == bodies
    assert not reasons(server) and not reasons(server, UNNOTED)


def test_a_change_in_the_manager_is_made_without_memory_and_in_force_when_it_is_back(scarce, backends):
    server, memory = scarce(two_nodes(backends(2)))
    in_every_process(server)
    memory.is_gone()
    url = list(server.state())[1]
    assert server.manager("mycluster", url, w_status_D="1").status == 200
    assert set(in_every_process(server)) == {"backend1"}
    assert every_process_said_once(server)
    assert server.manager("mycluster", url, w_status_D="0", w_lf="3").status == 200
    memory.is_back()
    bodies = in_every_process(server)
    assert (bodies.count("backend1") * 3, "backend1" in bodies) == (bodies.count("backend2"), True)
    assert sessions_stick_again(server)


def test_it_says_so_again_when_memory_runs_out_once_more(scarce, backends):
    server, memory = scarce(two_nodes(backends(2)))
    for times in (1, 2):
        memory.is_gone()
        server.manager("mycluster", list(server.state())[1], w_lf=str(times))
        in_every_process(server)
        assert sorted(pid for pid, _ in reasons(server)) == sorted([*server.children()] * times)
        memory.is_back()
        in_every_process(server)


@by_either
def test_a_session_of_a_member_that_does_not_answer_is_served_without_memory(scarce, backends, resolver):
    members = backends(2)
    server, memory = scarce(two_nodes(members, resolver), expected=BACKEND_IS_DOWN)
    in_every_process(server, cookie=f"{SESSION}.node2")
    memory.is_gone()
    members[1].stop()
    assert set(in_every_process(server, cookie=f"{SESSION}.node2")) == {"backend1"}
    memory.is_back()
    assert set(in_every_process(server, cookie=f"{SESSION}.node2")) == {"backend1"}


@by_either
@pytest.mark.parametrize("log_level", [LOG_LEVEL, f"{LOG_LEVEL} lbmethod_sticky:debug"], ids=["info", "debug"])
@pytest.mark.parametrize("warm", [False, True], ids=["from the start", "later on"])
def test_without_memory_no_request_adds_a_line_of_its_own_to_the_error_log(scarce, backends, resolver, log_level, warm):
    server, memory = scarce(two_nodes(backends(2), resolver), log_level=log_level)
    cookies = f"{SESSION}.node2", SESSION, f"{SESSION}.unknown", None
    for cookie in cookies if warm else ():
        in_every_process(server, cookie=cookie)
    memory.is_gone()
    for cookie in cookies:
        in_every_process(server, count=12, cookie=cookie)
    for pattern in (REASON, UNNOTED):
        said = [pid for pid, _ in reasons(server, pattern)]
        assert len(said) == len(set(said)), f"{len(said)} lines from {len(set(said))} processes"


# -- a damaged segment --------------------------------------------------------------------------------------------

class Segment:
    """The shared memory of the only balancer of a server, seen from one of its processes."""

    def __init__(self, process):
        self.memory = f"/proc/{process}/mem"
        self.start = self.find(f"/proc/{process}/maps")
        self.whole = self.read(4096 - self.start % 4096)

    def find(self, maps):
        found = []
        for line in open(maps):
            begin, end, name = re.match(r"(\w+)-(\w+) rw-s \S+ \S+ \S+\s*(.*)", line).groups() \
                if " rw-s " in line else (None, None, "")
            if "/dev/zero" not in name:  # what an anonymous shared mapping is called
                continue
            with open(self.memory, "rb", buffering=0) as memory:
                memory.seek(int(begin, 16))
                content = memory.read(int(end, 16) - int(begin, 16))
            # The mark: a version, and "lbstick" backwards.
            found += [int(begin, 16) + match.start() for match in re.finditer(rb"[\x01-\x7f]kcitsbl", content)
                      if match.start() % 64 == 0]
        assert len(found) == 1, f"{len(found)} segments"
        return found[0]

    def read(self, size):
        with open(self.memory, "rb", buffering=0) as memory:
            memory.seek(self.start)
            return memory.read(size)

    def write(self, offset, content):
        with open(self.memory, "r+b", buffering=0) as memory:
            memory.seek(self.start + offset)
            memory.write(content)


# What is written over the segment, and from where on.
DAMAGES = {
    "the mark": (0, bytes(8)),
    "ones all over": (0, b"\xff" * 512),
    "zeros all over": (0, bytes(512)),
}
REASON_OF_DAMAGE = "its shared memory is missing or damaged"


@by_either
@pytest.mark.parametrize("offset, content", DAMAGES.values(), ids=DAMAGES)
def test_with_a_damaged_segment_requests_are_served_in_turn_and_each_process_says_why_once(
        httpd, backends, resolver, offset, content):
    server = httpd(two_nodes(backends(2), resolver), processes=3, log_level=LOG_LEVEL, expected=EXPECTED)
    assert in_every_process(server)[:2] == ["backend1", "backend2"]
    children = server.children()
    segment = Segment(min(children))
    segment.write(offset, content)
    bodies = in_every_process(server)
    assert bodies == ["backend1", "backend2"] * (len(bodies) // 2)
    in_every_process(server, cookie=SESSION)
    assert every_process_said_once(server, REASON_OF_DAMAGE)

    segment.write(0, segment.whole[:512])
    assert sessions_stick_again(server)
    assert every_process_said_once(server, REASON_OF_DAMAGE)
    assert server.children() == children


@by_either
def test_a_route_is_followed_with_a_damaged_segment_where_httpd_itself_can(httpd, backends, resolver):
    server = httpd(two_nodes(backends(2), resolver), processes=3, log_level=LOG_LEVEL, expected=EXPECTED)
    in_every_process(server)
    Segment(min(server.children())).write(*DAMAGES["the mark"])
    bodies = set(in_every_process(server, cookie=f"{SESSION}.node2"))
    assert bodies == ({"backend2"} if "stickysession" in resolver["settings"] else {"backend1", "backend2"})


@pytest.mark.parametrize("offset, content", [DAMAGES["the mark"], (8, b"\xff" * 8), (8, bytes(8))],
                         ids=["the mark", "a number of members that is too high", "one that is too low"])
@pytest.mark.parametrize("members", [2, 3], ids=["same members", "one more"])
def test_a_graceful_restart_mends_a_damaged_segment(httpd, backends, offset, content, members):
    nodes = backends(members)
    server = httpd(two_nodes(nodes[:2]), processes=3, log_level=LOG_LEVEL, expected=EXPECTED)
    in_every_process(server)
    Segment(server.process.pid).write(offset, content)
    in_every_process(server)
    old, before = server.children(), reasons(server)
    assert {why for _, why in before} <= {REASON_OF_DAMAGE}
    server.configure(two_nodes(nodes))
    server.graceful()
    wait_until(lambda: not old & server.children(), "the generation before has ended")
    assert sessions_stick_again(server)
    assert sorted(server.bodies(members * 3)) == sorted([node.name for node in nodes] * 3)
    assert reasons(server) == before


def test_a_segment_that_is_damaged_while_requests_are_running_costs_none(httpd, backends):
    server = httpd(two_nodes(backends(2)), processes=3, log_level=LOG_LEVEL, expected=EXPECTED)
    in_every_process(server)
    children = server.children()
    segment = Segment(server.process.pid)
    codes = []

    def damage_and_mend():
        codes.extend(server.parallel(50))
        segment.write(*DAMAGES["the mark"])
        codes.extend(server.parallel(50))
        segment.write(0, segment.whole[:8])
        return codes

    for _ in range(3):
        damage_and_mend()
    assert codes == [200] * 300
    assert sessions_stick_again(server)
    assert server.children() == children
