"""Several servers, several balancers, several virtual hosts: what agrees, and what keeps apart."""

import collections

import pytest

from server import RESOLVERS, by_either, cluster, free_port

IDS = [f"id{number}" for number in range(12)]
SESSION = "JSESSIONID"


def places(server, path="/", ids=IDS):
    """{session id: the member that it reaches}"""
    return {id: server.curl(path, cookie=f"{SESSION}={id}").body for id in ids}


@by_either
@pytest.mark.parametrize("option", [
    lambda number: f"route=node{number}",
    lambda number: "",  # the member's URL is what names it
    lambda number: f"route=node{number} loadfactor={number}",
], ids=["routes", "no routes", "load factors"])
def test_two_servers_place_a_session_on_the_same_member_in_whatever_order_they_list_them(
        httpd, backends, resolver, option):
    expected = [] if "route=" in option(1) else [r"members have no route="]
    members = [f"{backend.url} {option(number)}" for number, backend in enumerate(backends(4), 1)]
    one = httpd(cluster(*members, **resolver), expected=expected)
    two = httpd(cluster(*reversed(members), **resolver), expected=expected)
    three = httpd(cluster(*members[2:], *members[:2], name="anothername", path="/app", **resolver), expected=expected)
    placed = places(one)
    assert len(set(placed.values())) > 1
    assert places(two) == placed
    assert places(three, "/app") == placed


def test_two_servers_agree_where_a_session_goes_whose_member_cannot_serve(httpd, backends):
    members = [f"{backend.url} route=node{number}" for number, backend in enumerate(backends(4), 1)]
    members[1] += " status=+D"
    resolver = RESOLVERS["LBStickySession"]
    ids = [f"{id * 8}.node2" for id in IDS]
    one, two = httpd(cluster(*members, **resolver)), httpd(cluster(*reversed(members), **resolver))
    placed = places(one, ids=ids)
    assert set(placed.values()) == {"backend1", "backend3", "backend4"}
    assert places(two, ids=ids) == placed


def test_balancers_of_one_server_have_each_a_rotation_of_their_own(httpd, backends):
    a, b, c, d = backends(4)
    server = httpd(cluster(a.url, b.url, settings="lbmethod=sticky", name="one", path="/one")
                   + cluster(c.url, f"{d.url} loadfactor=2", settings="lbmethod=sticky", name="two", path="/two"),
                   processes=3)
    one, two = [], []
    for count in (1, 2, 3, 1, 4, 1):
        one += server.bodies(count, path="/one")
        two += server.bodies(count, path="/two")
    assert one == ["backend1", "backend2"] * 6
    assert two == ["backend4", "backend3", "backend4"] * 4


def test_balancers_of_one_server_look_for_sessions_each_in_its_own_way(httpd, backends):
    members = [f"{backend.url} route=node{number}" for number, backend in enumerate(backends(2), 1)]
    server = httpd(cluster(*members, settings="lbmethod=sticky", name="one", path="/one", more="LBStickySession ONE")
                   + cluster(*members, settings="lbmethod=sticky stickysession=TWO", name="two", path="/two")
                   + cluster(*members, settings="lbmethod=byrequests stickysession=ONE", name="three", path="/three"))
    cookie = "ONE=1.node1; TWO=2.node2"
    assert server.bodies(4, path="/one", cookie=cookie) == ["backend1"] * 4
    assert server.bodies(4, path="/two", cookie=cookie) == ["backend2"] * 4
    assert server.bodies(4, path="/three", cookie="ONE=1") == ["backend1", "backend2"] * 2


def test_a_member_that_two_balancers_share_is_taken_out_of_one_of_them_only(httpd, backends):
    members = [f"{backend.url} route=node{number}" for number, backend in enumerate(backends(2), 1)]
    server = httpd("""
        ProxyPass /balancer-manager !
        <Location "/balancer-manager">
            SetHandler balancer-manager
        </Location>""" + cluster(*members, settings="lbmethod=sticky", name="one", path="/one")
        + cluster(*members, settings="lbmethod=sticky", name="two", path="/two"))
    server.manager("one", members[0].split()[0], w_status_D="1")
    assert server.bodies(4, path="/one") == ["backend2"] * 4
    assert server.bodies(4, path="/two") == ["backend1", "backend2"] * 2


def virtual_host(port, text):
    return f"""
        Listen 127.0.0.1:{port}
        <VirtualHost 127.0.0.1:{port}>
            ServerName 127.0.0.1
            {text}
        </VirtualHost>"""


@by_either
def test_balancers_of_one_name_in_two_virtual_hosts_do_not_disturb_each_other(httpd, backends, resolver):
    a, b, c, d = backends(4)
    ports = free_port(), free_port()
    server = httpd(virtual_host(ports[0], cluster(f"{a.url} route=node1", f"{b.url} route=node2", **resolver))
                   + virtual_host(ports[1], cluster(f"{c.url} route=node1 loadfactor=2", f"{d.url} route=node2",
                                                    **resolver)))
    one, two = server.at(ports[0]), server.at(ports[1])
    bodies = {port: [] for port in ports}
    for _ in range(3):
        for host in (one, two):
            bodies[host.port] += host.bodies(2)
            host.bodies(5, cookie=f"{SESSION}=1.node1")
    assert bodies[one.port] == ["backend1", "backend2"] * 3
    assert bodies[two.port] == ["backend3", "backend4", "backend3"] * 2
    assert one.curl(cookie=f"{SESSION}=1.node2").body == "backend2"
    assert two.curl(cookie=f"{SESSION}=1.node2").body == "backend4"

    one.manager("mycluster", a.url, w_status_D="1")
    assert one.bodies(2) == ["backend2"] * 2
    assert set(two.bodies(3)) == {"backend3", "backend4"}


@pytest.fixture
def heirs(httpd, backends):
    """The main server, and two virtual hosts that inherit its balancer of three members: one has settings for the
    proxy of its own, the other none."""
    ports = free_port(), free_port()
    members = [f"{backend.url} route=node{number}" for number, backend in enumerate(backends(3), 1)]
    server = httpd(cluster(*members, **RESOLVERS["LBStickySession"])
                   + virtual_host(ports[0], "ProxyVia Off") + virtual_host(ports[1], ""), processes=3)
    return [server] + [server.at(port) for port in ports]


def test_a_balancer_of_the_main_server_serves_the_virtual_hosts_that_inherit_it(heirs):
    placed = places(heirs[0])
    for host in heirs:
        assert places(host) == placed
        assert host.bodies(3, cookie=f"{SESSION}=1.node2") == ["backend2"] * 3
        bodies = host.bodies(6)
        assert bodies[:3] == bodies[3:] and sorted(bodies[:3]) == ["backend1", "backend2", "backend3"]


def test_what_is_changed_in_one_host_holds_at_once_in_all_that_inherit_the_balancer(heirs):
    def every_process_of(host, *arguments, **options):
        return host.in_every_process(lambda: host.bodies(6, *arguments, **options))

    urls = list(heirs[0].state())
    for number, changing in enumerate(heirs):
        for host in heirs:  # each process of each host knows a state that is changed then
            every_process_of(host)
        changing.manager("mycluster", urls[1], w_wr=f"new{number}")
        for host in heirs:
            assert set(every_process_of(host, cookie=f"{SESSION}=1.new{number}")) == {"backend2"}
        changing.manager("mycluster", urls[0], w_ls="1")
        for host in heirs:
            assert set(every_process_of(host)) == {"backend2", "backend3"}
        changing.manager("mycluster", urls[0], w_ls="0")
        for host in heirs:
            assert collections.Counter(every_process_of(host)[:6]) == {f"backend{n}": 2 for n in (1, 2, 3)}


def test_load_of_an_inherited_balancer_is_that_of_the_host_that_shows_it(heirs):
    def loads(host):
        return [fields["lbstatus"] for fields in host.state().values()]

    assert heirs[1].bodies(2) == ["backend1", "backend2"]
    assert heirs[0].bodies(1) == ["backend1"]
    assert loads(heirs[1]) == [-33, -33, 66]
    assert loads(heirs[0]) == [-66, 33, 33]
    assert loads(heirs[1]) == [-33, -33, 66]
