"""What this module is for: the configuration of every tutorial, virtual host and all, with one word changed."""

from server import BACKEND_IS_DOWN, by_either, tutorial, wait_until


def two_nodes(a, b, **options):
    return tutorial(f"{a.url} route=node1 retry=1", f"{b.url} route=node2 retry=1", **options)


def test_requests_without_a_session_alternate_between_the_members(httpd, backends):
    a, b = backends(2)
    server = httpd(two_nodes(a, b))
    assert server.bodies(8) == ["backend1", "backend2"] * 4


@by_either
def test_a_session_id_without_a_route_always_reaches_the_same_member(httpd, backends, resolver):
    a, b = backends(2)
    server = httpd(two_nodes(a, b, **resolver))
    assert len(set(server.bodies(20, cookie="JSESSIONID=12345"))) == 1
    answer = server.curl(cookie="JSESSIONID=12345")
    assert (answer.affinity, answer.route_changed) == ("hash", "1")


@by_either
def test_session_ids_without_a_route_are_spread_over_the_members(httpd, backends, resolver):
    a, b = backends(2)
    server = httpd(two_nodes(a, b, **resolver))
    assert {server.curl(cookie=f"JSESSIONID=id{n}").body for n in range(12)} == {"backend1", "backend2"}


@by_either
def test_a_route_in_the_session_id_reaches_its_member(httpd, backends, resolver):
    a, b = backends(2)
    server = httpd(two_nodes(a, b, **resolver))
    for route, name in (("node2", "backend2"), ("node1", "backend1")):
        assert set(server.bodies(5, cookie=f"JSESSIONID=12345.{route}")) == {name}
    answer = server.curl(cookie="JSESSIONID=12345.node2")
    assert answer.affinity == "route"
    assert (answer.session_sticky, answer.session_route) == ("JSESSIONID", "node2")
    assert (answer.route, answer.worker, answer.route_changed) == ("node2", b.url, None)


@by_either
def test_a_session_whose_member_dies_goes_to_another_and_returns_when_it_is_back(httpd, backends, resolver):
    a, b, c = backends(3)
    configuration = tutorial(f"{a.url} route=node1 retry=1", f"{b.url} route=node2 retry=1",
                             f"{c.url} route=node3 retry=1", **resolver)
    server = httpd(configuration, expected=BACKEND_IS_DOWN)
    assert server.curl(cookie="JSESSIONID=12345.node2").body == "backend2"

    b.stop()
    answers = [server.curl(cookie="JSESSIONID=12345.node2") for _ in range(6)]
    assert {answer.status for answer in answers} == {200}
    assert {answer.affinity for answer in answers} == {"failover"}
    assert len({answer.body for answer in answers}) == 1 and answers[0].body != "backend2"
    assert {answer.session_route for answer in answers} == {"node2"}
    assert {answer.route_changed for answer in answers} == {"1"}

    b.start()
    back = wait_until(lambda: (answer := server.curl(cookie="JSESSIONID=12345.node2")).body == "backend2" and answer,
                      "the session is back")
    assert back.affinity == "route"


@by_either
def test_the_debug_log_tells_where_each_request_went_and_why(httpd, backends, resolver):
    a, b = backends(2)
    server = httpd(two_nodes(a, b, **resolver))
    server.curl()
    server.curl(cookie="JSESSIONID=a-secret-id-that-nobody-may-read.node2")
    server.curl(cookie="JSESSIONID=12345.")
    member = server.curl(cookie="JSESSIONID=12345.").worker
    assert server.decisions() == [
        "balancer://mycluster: affinity new, no session (no JSESSIONID, no cookie lbsticky_mycluster), "
        f"member {a.url}",
        f"balancer://mycluster: affinity route, session JSESSIONID=a-se...(38), member {b.url}",
        f"balancer://mycluster: affinity hash, session JSESSIONID=123...(6), member {member}",
        f"balancer://mycluster: affinity hash, session JSESSIONID=123...(6), member {member}",
    ]
    assert "nobody-may-read" not in "".join(line for line in server.log().splitlines() if "lbmethod_sticky" in line)
