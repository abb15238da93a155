"""Sessions alive: how many different sessions a member served in the last ten minutes, as an estimate."""

import pytest

from server import STATUS, by_either, cluster, with_routes
from test_graceful_restart import restart
from test_in_flight import shown, site
from test_state import SERVER_STATUS, UNAVAILABLE

SESSION = "JSESSIONID=12345"


def alive(server):
    """{route of the member: sessions}"""
    return {worker["route"]: worker["sessions"] for worker in server.report()["workers"]}


def is_about(number, wanted):
    """An estimate of a hundred is off by two, most often."""
    return 0.9 * wanted <= number <= 1.1 * wanted


@by_either
def test_a_session_counts_once_where_it_is_served(httpd, backends, resolver):
    server = httpd(STATUS + SERVER_STATUS + cluster(*with_routes(backends(3)), **resolver))
    assert shown(server, "sessions") == {"node1": 0, "node2": 0, "node3": 0}
    server.bodies(20, cookie=f"{SESSION}.node2")
    assert shown(server, "sessions") == {"node1": 0, "node2": 1, "node3": 0}


def test_different_ids_are_different_sessions(httpd, backends):
    server = httpd(site(with_routes(backends(3)), more="LBStickySession JSESSIONID|jsessionid"))
    for _ in range(2):
        server.bodies(1, path="/;jsessionid=session[1-100].node1")
    numbers = shown(server, "sessions")
    assert is_about(numbers.pop("node1"), 100) and numbers == {"node2": 0, "node3": 0}


def test_a_session_is_the_same_one_with_whatever_route(httpd, backends):
    """Of node2, which is disabled, too: it serves none of them."""
    [backend, disabled] = backends(2)
    server = httpd(site([f"{backend.url} route=node1", f"{disabled.url} route=node2 status=+D"]))
    for route in ("", ".node1", ".node2"):
        server.bodies(2, cookie=SESSION + route)
    assert alive(server) == {"node1": 1, "node2": 0}


def test_sessions_that_are_hashed_count_too(httpd, backends):
    server = httpd(site(with_routes(backends(2)), more="LBStickySession JSESSIONID|jsessionid"))
    bodies = server.bodies(1, path="/;jsessionid=session[1-200]")
    numbers = alive(server)
    for route, body in (("node1", "backend1"), ("node2", "backend2")):
        assert is_about(numbers[route], bodies.count(body))


@pytest.mark.parametrize("cookie", [None, "JSESSIONID=.node1", "lbsticky_mycluster=.node1"],
                         ids=["nothing", "a route and no id", "own cookie"])
def test_clients_without_an_id_are_told_apart_by_address_and_user_agent(httpd, backends, cookie):
    server = httpd(site(with_routes(backends(1))))
    for address in ("127.0.0.1", "127.0.0.2", "127.0.0.3"):
        server.bodies(5, "--interface", address, cookie=cookie)
    of_addresses = alive(server)["node1"]
    assert of_addresses in (2, 3)  # one time in 500 two are taken for one
    server.bodies(5, "--interface", "127.0.0.2", cookie=cookie)
    assert alive(server)["node1"] == of_addresses
    for number in range(10):
        server.curl("/", "--user-agent", f"browser {number}", cookie=cookie)
    assert 10 <= alive(server)["node1"] <= 14


def test_the_number_stays_over_graceful_restarts(httpd, backends):
    members = with_routes(backends(3))
    more = "LBStickySession JSESSIONID|jsessionid"
    server = httpd(site(members[:2], more=more))
    server.bodies(1, path="/;jsessionid=session[1-50].node1")
    server.bodies(2, cookie=f"{SESSION}.node2")
    before = alive(server)
    restart(server, site([members[2], members[1], members[0]], more=more))
    assert shown(server, "sessions") == {"node3": 0, **before}
    # The same sessions are no new ones: what they are hashed with is the same.
    server.bodies(1, path="/;jsessionid=session[1-50].node1")
    assert alive(server) == {"node3": 0, **before}
    restart(server, site([members[0]], more=more))
    assert alive(server) == {"node1": before["node1"]}


def test_a_session_that_moved_is_alive_where_it_is_served_now_and_where_it_was(httpd, backends):
    members = backends(2)
    server = httpd(site(with_routes(members)))
    server.curl(cookie=f"{SESSION}.node1")
    server.manager("mycluster", members[0].url, w_status_D="1")
    server.curl(cookie=f"{SESSION}.node1")
    assert alive(server) == {"node1": 1, "node2": 1}


def test_what_nobody_serves_is_no_session(httpd, backends):
    server = httpd(site(with_routes(backends(2), "status=+D")), expected=UNAVAILABLE)
    for cookie in (None, SESSION, f"{SESSION}.node1"):
        assert server.curl(cookie=cookie).status == 503
    assert set(alive(server).values()) == {0}
