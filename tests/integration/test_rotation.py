"""Weighted round robin, exact over all child processes together."""

import collections
import threading

import pytest

from server import RESOLVERS, by_either, cluster


def weighted(backends, *factors, **options):
    """The members backend1, backend2, … with these load factors, routes node1, node2, …"""
    members = [f"{backend.url} route=node{n} loadfactor={factor} retry=600"
               for n, (backend, factor) in enumerate(zip(backends, factors, strict=True), 1)]
    return cluster(*members, **options)


# The order of a cycle, by number of the member, as the rotation's own description tells it.
@pytest.mark.parametrize("factors, order", [
    ((1, 1, 1), [1, 2, 3]),
    ((1, 2, 3), [3, 2, 3, 1, 2, 3]),
    ((5, 1, 1), [1, 1, 2, 1, 1, 3, 1]),
], ids=str)
def test_requests_one_after_the_other_keep_the_order_whichever_process_they_reach(httpd, backends, factors, order):
    server = httpd(weighted(backends(3), *factors, settings="lbmethod=sticky"), processes=4)
    bodies = server.in_every_process(lambda: server.bodies(6 * len(order)))
    assert bodies == [f"backend{number}" for number in order] * (len(bodies) // len(order))


# How often each member is chosen in a cycle. 1.01 and 1 is a cycle of 201, the longest that two decimals can ask for
# with small numbers.
@pytest.mark.parametrize("factors, shares", [
    ((1, 2, 5), (1, 2, 5)),
    ((1, 1, 1, 1), (1, 1, 1, 1)),
    ((1.5, 1), (3, 2)),
    ((2.25, 1.75, 1), (9, 7, 4)),
    ((100, 1), (100, 1)),
    ((1, 1.01), (100, 101)),
    ((33.3, 33.3), (1, 1)),
], ids=str)
def test_requests_at_once_are_shared_out_exactly_by_all_processes_together(httpd, backends, factors, shares):
    members = backends(len(factors))
    server = httpd(weighted(members, *factors, settings="lbmethod=sticky"), processes=4)
    cycle = sum(shares)
    cycles = max(2, 240 // cycle)

    def send_whole_cycles():
        assert server.parallel(cycles * cycle) == [200] * cycles * cycle
        return [cycles]

    for _ in range(2):  # the second time, all processes have been there before
        for member in members:
            member.requests.clear()
        sent = sum(server.in_every_process(send_whole_cycles))
        assert [len(member.requests) for member in members] == [share * sent for share in shares]


@by_either
def test_requests_of_sessions_do_not_disturb_the_rotation_of_the_others(httpd, backends, resolver):
    server = httpd(weighted(backends(3), 1, 2, 3, **resolver), processes=3)
    bodies = []
    for cookie in ("JSESSIONID=1.node1", "JSESSIONID=1.node3", "JSESSIONID=1", "JSESSIONID=2.gone") * 3:
        bodies += server.bodies(2)
        server.bodies(5, cookie=cookie)
    assert bodies == [f"backend{number}" for number in (3, 2, 3, 1, 2, 3)] * 4
    assert {affinity for _, affinity, _ in server.choices()} == {"new", "route", "hash"}


@by_either
def test_sessions_at_the_same_time_do_not_disturb_the_shares_of_the_others(httpd, backends, resolver):
    members = backends(3)
    server = httpd(weighted(members, 1, 2, 5, **resolver), processes=3)
    sessions = threading.Thread(target=lambda: server.parallel(300, cookie="JSESSIONID=1.node1", path="/session"))
    sessions.start()
    assert server.parallel(320, path="/none") == [200] * 320
    sessions.join()
    paths = [collections.Counter(path.split("?")[0] for _, path, _ in member.requests) for member in members]
    assert [of_member["/none"] for of_member in paths] == [40, 80, 200]
    assert [of_member["/session"] for of_member in paths] == [300, 0, 0]


def test_sessions_are_not_made_up_for_by_a_burst_elsewhere(httpd, backends):
    server = httpd(weighted(backends(2), 1, 1, **RESOLVERS["stickysession"]))
    server.bodies(51, cookie="JSESSIONID=1.node1")
    assert server.bodies(6) == ["backend1", "backend2"] * 3


def test_a_drained_member_is_owed_nothing_when_it_is_back(httpd, backends):
    server = httpd(weighted(backends(2), 1, 1, **RESOLVERS["stickysession"]))
    second = list(server.state())[1]
    server.manager("mycluster", second, w_status_N="1")
    assert server.bodies(40) == ["backend1"] * 40
    server.manager("mycluster", second, w_status_N="0")
    assert server.bodies(6) == ["backend1", "backend2"] * 3


def test_several_cookies_that_are_no_session_leave_a_request_in_the_rotation(httpd, backends):
    server = httpd(weighted(backends(2), 1, 1, **RESOLVERS["LBStickySession"]))
    assert server.bodies(6, cookie="a=1; xJSESSIONID=1.node2; JSESSIONIDx=2.node2; b") == ["backend1", "backend2"] * 3


def test_members_without_any_factor_count_the_same(httpd, backends):
    a, b = backends(2)
    server = httpd(cluster(a.url, f"{b.url} loadfactor=1", settings="lbmethod=sticky"))
    assert server.bodies(6) == ["backend1", "backend2"] * 3


@pytest.mark.parametrize("first", [["--request", "OPTIONS"], ["--head"]], ids=["OPTIONS", "HEAD"])
def test_requests_that_cannot_begin_a_session_take_no_turn_of_one(httpd, backends, first):
    members = backends(2)
    server = httpd(weighted(members, 1, 1, settings="lbmethod=sticky stickysession=JSESSIONID"), processes=4)
    served = []
    for _ in range(8):
        server.curl("/", *first)
        served.append(server.curl().body)
    assert served == ["backend1", "backend2"] * 4
    # They are shared out by a rotation of their own.
    method = "OPTIONS" if first[-1] == "OPTIONS" else "HEAD"
    assert [sum(request[0] == method for request in member.requests) for member in members] == [4, 4]


def test_requests_that_cannot_begin_a_session_are_shared_out_exactly_by_all_processes(httpd, backends):
    members = backends(2)
    server = httpd(weighted(members, 1, 3, settings="lbmethod=sticky"), processes=4)
    assert server.parallel(200, "--request", "OPTIONS") == [200] * 200
    assert [len(member.requests) for member in members] == [50, 150]
