"""LBStickyPlace: who gets a new session, by turns, by requests in flight, or by sessions alive."""

import collections
import re

import pytest

from server import cluster, wait_until, with_routes
from test_in_flight import SESSION, all_have_ended, gated, hold, in_flight, site
from test_virtual_hosts import in_two_hosts

METHODS = ["rotation", "busyness", "sessions"]


def placing(by, members, more="LBStickySession JSESSIONID", **options):
    return site(members, more=f"{more}\nLBStickyPlace {by}", **options)


def members_in_log(server):
    """(who was chosen, whom it was preferred to or None), of the last request."""
    return re.search(r"member (\S+)(?: rather than (\S+))?$", server.decisions()[-1]).groups()


# -- busyness ---------------------------------------------------------------------------------------------------------


def test_a_busy_member_gets_no_new_session_as_long_as_others_are_idle(httpd, backends, send):
    members = gated(backends, 3)
    server = httpd(placing("busyness", with_routes(members)), processes=4)
    hold(send, server, members[0], times=2)
    assert collections.Counter(server.bodies(12)).keys() == {"backend2", "backend3"}
    assert {affinity for _, affinity, _ in server.choices()[2:]} == {"new"}
    members[0].gate.set()
    all_have_ended(server)
    assert server.bodies(6) == ["backend1", "backend2", "backend3"] * 2


def test_the_log_says_who_was_the_busier_one(httpd, backends, send):
    members = gated(backends, 2)
    server = httpd(placing("busyness", with_routes(members)), processes=3)
    one, two = (member.url for member in members)
    server.bodies(1)
    assert members_in_log(server) == (one, None)  # its turn, and idle
    hold(send, server, members[0])
    served = set()
    for _ in range(2):
        server.bodies(1)
        served.add(members_in_log(server))
    assert served == {(two, None), (two, one)}  # at its own turn, and at the other's


def test_sessions_of_a_busy_member_still_go_home(httpd, backends, send):
    members = gated(backends, 3)
    server = httpd(placing("busyness", with_routes(members)), processes=4)
    hold(send, server, members[0], times=2)
    for cookie, affinity in ((f"{SESSION}.node1", "route"), ("lbsticky_mycluster=.node1", "cookie")):
        answer = server.curl(cookie=cookie)
        assert (answer.body, answer.affinity) == ("backend1", affinity)


@pytest.mark.parametrize("by", METHODS)
def test_idle_members_share_new_sessions_by_their_load_factors(httpd, backends, by):
    """By sessions, clients must be different ones: those of one client are one session."""
    factors = {"backend1": 1, "backend2": 2, "backend3": 5}
    members = [f"{member.url} route=node{n} loadfactor={factors[member.name]}"
               for n, member in enumerate(backends(3), 1)]
    server = httpd(placing(by, members), processes=4)
    if by == "sessions":
        bodies = [server.curl("/", "--user-agent", f"browser {number}").body for number in range(16)]
        shares = collections.Counter(bodies)
        assert all(abs(shares[name] - 2 * factor) <= 1 for name, factor in factors.items()), shares
    else:
        bodies = server.bodies(16)
        assert bodies[:8] == bodies[8:] and collections.Counter(bodies[:8]) == factors


def test_busy_members_share_new_sessions_by_their_load_factors(httpd, backends, send):
    members = gated(backends, 2)
    lines = [f"{members[0].url} route=node1", f"{members[1].url} route=node2 loadfactor=3"]
    server = httpd(placing("busyness", lines), processes=9)
    for number in range(1, 9):
        send(server, "/slow")
        wait_until(lambda: sum(len(member.requests) for member in members) == number, "a member has the request")
        if number % 4 == 0:
            assert in_flight(server) == {"node1": number // 4, "node2": 3 * number // 4}


def test_a_load_factor_that_the_manager_sets_holds_with_the_next_request(httpd, backends, send):
    members = gated(backends, 2)
    server = httpd(placing("busyness", with_routes(members)), processes=5)
    hold(send, server, members[0])
    hold(send, server, members[1], times=2)
    assert set(server.bodies(8)) == {"backend1"}
    server.manager("mycluster", members[1].url, w_lf="3")
    assert set(server.bodies(8)) == {"backend2"}  # two for a factor of three are fewer than one


def test_the_placement_holds_where_the_method_is_chosen_in_the_manager(httpd, backends, send):
    members = gated(backends, 2)
    server = httpd(cluster(*with_routes(members), settings="lbmethod=byrequests stickysession=JSESSIONID",
                           more="LBStickyPlace busyness"), processes=4, expected=["have no effect as long as"])
    server.manager("mycluster", b_lbm="sticky")
    hold(send, server, members[0], times=2)
    assert set(server.bodies(6)) == {"backend2"}
    server.manager("mycluster", b_lbm="byrequests")
    assert set(server.bodies(6)) == {"backend1", "backend2"}
    server.manager("mycluster", b_lbm="sticky")
    assert set(server.bodies(6)) == {"backend2"}


def test_each_virtual_host_places_by_what_all_of_them_have_in_flight(httpd, backends, send):
    """As tutorials have it: <Proxy> outside, ProxyPass inside of <VirtualHost>."""
    members = gated(backends, 2)
    server = httpd(in_two_hosts(with_routes(members), "LBStickyPlace busyness"), processes=4)
    hold(send, server, members[0], "--header", "Host: one.example", times=2)
    for name in ("one.example", "two.example"):
        assert set(server.bodies(6, "--header", f"Host: {name}")) == {"backend2"}


def test_who_cannot_serve_gets_no_new_session_however_idle_it_is(httpd, backends, send):
    members = gated(backends, 4)
    options = ["", "status=+D", "status=+N", "status=+H"]
    lines = [f"{line} {option}" for line, option in zip(with_routes(members), options)]
    server = httpd(placing("busyness", lines), processes=4)
    hold(send, server, members[0], times=2)
    assert set(server.bodies(6)) == {"backend1"}


# -- sessions ---------------------------------------------------------------------------------------------------------


def new_clients(server, numbers):
    return [server.curl("/", "--user-agent", f"browser {number}").body for number in numbers]


def test_a_member_with_many_sessions_gets_no_new_one_until_the_others_have_as_many(httpd, backends):
    server = httpd(placing("sessions", with_routes(backends(2)), more="LBStickySession JSESSIONID|jsessionid"))
    server.bodies(1, path="/;jsessionid=session[1-20].node1")
    # Estimates of twenty may be one or two off.
    assert set(new_clients(server, range(15))) == {"backend2"}
    assert "backend1" in new_clients(server, range(15, 35))
    [one, two] = [worker["sessions"] for worker in server.report()["workers"]]
    assert abs(one - two) <= 4


def test_sessions_that_are_alive_count_and_not_their_requests(httpd, backends):
    server = httpd(placing("sessions", with_routes(backends(2)), more="LBStickySession JSESSIONID|jsessionid"))
    server.bodies(30, cookie=f"{SESSION}.node1")
    server.bodies(1, path="/;jsessionid=session[1-8].node2")
    assert set(new_clients(server, range(4))) == {"backend1"}


def test_by_sessions_the_log_says_who_has_more_of_them(httpd, backends):
    members = backends(2)
    one, two = (member.url for member in members)
    server = httpd(placing("sessions", with_routes(members), more="LBStickySession JSESSIONID|jsessionid"))
    server.bodies(1, path="/;jsessionid=session[1-8].node1")
    seen = set()
    for number in range(2):
        new_clients(server, [number])
        seen.add(members_in_log(server))
    assert (two, one) in seen and {chosen for chosen, _ in seen} == {two}


# -- rotation ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("more", ["", "\nLBStickyPlace rotation"], ids=["by default", "as it is told to"])
def test_by_rotation_a_busy_member_takes_its_turns(httpd, backends, send, more):
    members = gated(backends, 2)
    server = httpd(site(with_routes(members), more=f"LBStickySession JSESSIONID{more}"), processes=4)
    hold(send, server, members[0], times=2)
    assert server.bodies(6) == ["backend1", "backend2"] * 3


def test_of_two_sections_the_later_one_says_how_sessions_are_placed(httpd, backends, send):
    members = gated(backends, 2)
    later = '<Proxy "balancer://*">\nLBStickyPlace busyness\nLBStickyLimit new=5\n</Proxy>\n'
    server = httpd(placing("rotation", with_routes(members)) + later, processes=4)
    hold(send, server, members[0], times=2)
    assert set(server.bodies(6)) == {"backend2"}
