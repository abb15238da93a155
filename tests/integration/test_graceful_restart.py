"""A graceful restart is no event: rotation and counters go on where they were, and no request is lost."""

import collections
import re
import threading

import pytest

from server import cluster, wait_until

SESSION = "JSESSIONID=12345"
AFFINITIES = ("cookie", "route", "learned", "hash", "new", "failover", "overload", "refused")


def members_of(backends, *factors):
    factors = factors or (1,) * len(backends)
    return [f"{backend.url} route={backend.name.replace('backend', 'node')} loadfactor={factor} retry=600"
            for backend, factor in zip(backends, factors, strict=True)]


def site(*members, more="LBStickySession JSESSIONID", **options):
    return cluster(*members, settings="lbmethod=sticky", more=more, **options)


def counted(server, balancer="mycluster"):
    """What the last start said of the requests so far: {affinity: number}, without those that are 0."""
    line = re.findall(rf"\[lbmethod_sticky:info\].*balancer://{balancer}: sticky; requests so far by affinity: (.*)$",
                      server.log(), re.MULTILINE)[-1]
    counts = {word: int(number) for word, number in (item.split(" ") for item in line.split(", "))}
    assert tuple(counts) == AFFINITIES
    return {word: number for word, number in counts.items() if number}


def restart(server, configuration):
    """Restarts gracefully with another configuration, and waits until those who work by the old one are gone."""
    wait_until(lambda: len(server.children()) >= server.processes, "all child processes are there")
    old = server.children()
    server.configure(configuration)
    server.graceful()
    wait_until(lambda: not old & server.children(), "the generation before has ended")


def test_each_start_tells_the_counts_of_each_balancer_once(httpd, backends):
    a, b = backends(2)
    server = httpd(cluster(a.url, settings="lbmethod=sticky", name="one", path="/one")
                   + cluster(b.url, settings="lbmethod=sticky", name="two", path="/two")
                   + cluster(b.url, settings="lbmethod=byrequests", name="other", path="/other")
                   + "<VirtualHost *>\nServerName plain\n</VirtualHost>\n")
    for _ in range(2):
        server.graceful()
    names = re.findall(r"\[lbmethod_sticky:info\].*?balancer://(\S+): sticky; requests so far", server.log())
    assert sorted(names) == ["one"] * 3 + ["two"] * 3


def test_the_rotation_goes_on_where_it_was(httpd, backends):
    server = httpd(site(*members_of(backends(3), 1, 2, 3)))
    bodies = []
    for count in (1, 4, 2, 5):
        bodies += server.bodies(count)
        server.graceful()
    assert bodies == [f"backend{number}" for number in (3, 2, 3, 1, 2, 3)] * 2


def test_the_counters_go_on_where_they_were(httpd, backends):
    server = httpd(site(*members_of(backends(3))), expected=["All workers are in error state"])
    assert counted(server) == {}
    server.bodies(5)
    server.bodies(3, cookie=f"{SESSION}.node2")
    server.bodies(2, cookie=SESSION)
    server.graceful()
    assert counted(server) == {"new": 5, "route": 3, "hash": 2}

    server.manager("mycluster", list(server.state())[1], w_status_D="1")
    server.bodies(4, cookie=f"{SESSION}.node2")
    server.manager("mycluster", b_sforce="1")
    server.bodies(6, "--output", "/dev/null", cookie=f"{SESSION}.node2")
    server.graceful()
    assert counted(server) == {"new": 5, "route": 3, "hash": 2, "failover": 4, "refused": 6}


def test_two_restarts_in_a_row_lose_nothing(httpd, backends):
    server = httpd(site(*members_of(backends(2))))
    server.bodies(3)
    server.graceful()
    server.graceful()
    assert counted(server) == {"new": 3}
    assert server.bodies(3) == ["backend2", "backend1", "backend2"]


def test_a_session_without_a_route_stays_where_it_was(httpd, backends):
    server = httpd(site(*members_of(backends(3))))
    ids = [f"JSESSIONID=id{number}" for number in range(8)]
    before = [server.curl(cookie=cookie).body for cookie in ids]
    server.graceful()
    assert [server.curl(cookie=cookie).body for cookie in ids] == before


def test_a_member_that_is_added_joins_the_rotation_and_the_counts_go_on(httpd, backends):
    members = members_of(backends(3))
    server = httpd(site(*members[:2]))
    server.bodies(6)
    server.bodies(2, cookie=f"{SESSION}.node2")
    restart(server, site(*members))
    assert counted(server) == {"new": 6, "route": 2}
    # Six tickets were drawn: the seventh is the first of a cycle of three.
    assert server.bodies(6) == ["backend1", "backend2", "backend3"] * 2
    server.bodies(1, cookie=f"{SESSION}.node3")
    server.graceful()
    assert counted(server) == {"new": 12, "route": 3}


def test_a_member_that_is_removed_leaves_the_rotation_and_the_counts_go_on(httpd, backends):
    members = members_of(backends(3))
    server = httpd(site(*members))
    server.bodies(7)
    restart(server, site(members[0], members[2]))
    assert counted(server) == {"new": 7}
    # Seven tickets were drawn: the eighth is the second of a cycle of two.
    assert server.bodies(3) == ["backend3", "backend1", "backend3"]
    server.graceful()
    assert counted(server) == {"new": 10}


def test_a_member_that_is_replaced_takes_its_place_and_the_counts_go_on(httpd, backends):
    members = members_of(backends(3))
    server = httpd(site(members[0], members[1]))
    server.bodies(4)
    restart(server, site(members[0], members[2]))
    assert counted(server) == {"new": 4}
    assert server.bodies(4) == ["backend1", "backend3"] * 2


def test_members_that_stand_in_another_order_keep_their_counts(httpd, backends):
    members = members_of(backends(3))
    server = httpd(site(*members))
    server.bodies(4)
    restart(server, site(*reversed(members)))
    assert counted(server) == {"new": 4}
    assert server.bodies(3) == ["backend2", "backend1", "backend3"]


def test_a_member_that_was_added_in_the_manager_is_forgotten_and_the_counts_go_on(httpd, backends):
    a, b, c = backends(3)
    server = httpd(cluster(*members_of([a, b]), settings="lbmethod=sticky growth=1"))
    server.manager("mycluster", b_wyes="1", b_nwrkr=c.url)
    server.manager("mycluster", c.url, w_status_D="0")
    assert sorted(server.bodies(6)) == sorted(["backend1", "backend2", "backend3"] * 2)
    server.graceful()
    assert counted(server) == {"new": 6}
    assert server.bodies(4) == ["backend1", "backend2"] * 2
    server.manager("mycluster", b_wyes="1", b_nwrkr=c.url)
    server.manager("mycluster", c.url, w_status_D="0")
    assert sorted(server.bodies(3)) == ["backend1", "backend2", "backend3"]


def test_what_was_changed_in_the_manager_stays_where_httpd_is_told_to_keep_it(httpd, backends):
    a, b, c = backends(3)
    server = httpd("BalancerPersist On" + cluster(*members_of([a, b]), settings="lbmethod=sticky growth=1"))
    server.manager("mycluster", b_wyes="1", b_nwrkr=c.url)
    server.manager("mycluster", c.url, w_status_D="0", w_lf="2")
    assert collections.Counter(server.bodies(8)) == {"backend1": 2, "backend2": 2, "backend3": 4}
    server.graceful()
    assert counted(server) == {"new": 8}
    assert collections.Counter(server.bodies(8)) == {"backend1": 2, "backend2": 2, "backend3": 4}


def test_a_balancer_that_is_added_or_removed_leaves_the_others_where_they_were(httpd, backends):
    a, b, c = backends(3)
    one = site(*members_of([a, b]), path="/one")
    other = cluster(c.url, settings="lbmethod=sticky", name="other", path="/other")
    server = httpd(one)
    server.bodies(3, path="/one")
    restart(server, other + one)
    assert counted(server) == {"new": 3} and counted(server, "other") == {}
    server.bodies(4, path="/other")
    assert server.bodies(1, path="/one") == ["backend2"]
    restart(server, one)
    assert counted(server) == {"new": 4}
    restart(server, one + other)
    assert counted(server, "other") == {"new": 4}
    assert server.bodies(2, path="/one") == ["backend1", "backend2"]


def test_a_changed_load_factor_holds_after_the_restart(httpd, backends):
    members = backends(2)
    server = httpd(site(*members_of(members)))
    server.bodies(8)
    restart(server, site(*members_of(members, 3, 1)))
    assert collections.Counter(server.bodies(8)) == {"backend1": 6, "backend2": 2}
    assert counted(server) == {"new": 8}


def test_a_changed_directive_holds_after_the_restart(httpd, backends):
    members = members_of(backends(2))
    server = httpd(site(*members))
    assert len(set(server.bodies(6, cookie=SESSION))) == 1
    restart(server, site(*members, more="LBStickySession JSESSIONID\nLBStickyHash off"))
    assert server.bodies(6, cookie=SESSION) == ["backend1", "backend2"] * 3


def test_a_process_of_the_generation_before_goes_on_in_the_same_rotation_and_counts(httpd, backends):
    slow, a, b = backends(3)
    server = httpd(f"""
        # Once /slow has answered, the same process asks the balancer, by an internal redirect.
        ProxyPass /slow {slow.url}
        ProxyErrorOverride On
        ErrorDocument 500 /after""" + site(*members_of([a, b])), processes=2)
    slow.status = 500
    slow.gate.clear()
    answers = []
    request = threading.Thread(target=lambda: answers.append(server.curl("/slow")))
    request.start()
    wait_until(lambda: slow.requests, "the request is at its backend")

    assert server.bodies(1) == ["backend2"]
    old = server.children()
    server.graceful()
    # Processes of the old generation take requests until they have heard of the restart.
    bodies = ["backend2"]
    while server.choices()[-1][0] in old:
        bodies += server.bodies(1)
    slow.gate.set()
    request.join()
    bodies.append(answers[0].body)
    assert server.choices()[-1][0] in old and server.choices()[-2][0] not in old
    bodies += server.bodies(1)
    assert bodies == (["backend2", "backend3"] * len(bodies))[:len(bodies)]
    server.graceful()
    assert counted(server) == {"new": len(bodies)}


@pytest.mark.parametrize("change", ["nothing", "members"])
def test_restarts_while_requests_are_running_lose_none(httpd, backends, change):
    members = members_of(backends(4))
    configurations = [site(*members[:3]), site(*members) if change == "members" else site(*members[:3])]
    server = httpd(configurations[0], processes=2)
    codes, done = {"none": [], "session": []}, threading.Event()

    def send(name, **options):
        while not done.is_set():
            codes[name] += server.parallel(60, at_once=6, **options)

    clients = [threading.Thread(target=send, args=("none",)),
               threading.Thread(target=send, args=("session",), kwargs={"cookie": f"{SESSION}.node2"})]
    for client in clients:
        client.start()
    for restart in range(1, 5):
        answered = len(codes["none"]), len(codes["session"])
        wait_until(lambda: all(len(codes[name]) > before for name, before in zip(codes, answered)), "requests run")
        server.configure(configurations[restart % 2])
        server.graceful()
    done.set()
    for client in clients:
        client.join()

    assert set(codes["none"]) == {200} and set(codes["session"]) == {200}
    choices = collections.Counter((affinity, member) for _, affinity, member in server.choices())
    assert {member for affinity, member in choices if affinity == "route"} == {members[1].split()[0]}
    assert choices["route", members[1].split()[0]] == len(codes["session"])
    assert sum(count for (affinity, _), count in choices.items() if affinity == "new") == len(codes["none"])
    server.graceful()
    assert counted(server) == {"new": len(codes["none"]), "route": len(codes["session"])}
    if change == "nothing":
        shares = [choices["new", member.split()[0]] for member in members[:3]]
        assert max(shares) - min(shares) <= 1, shares


def test_a_restart_after_a_configuration_that_httpd_refuses_goes_on_as_before(httpd, backends):
    members = members_of(backends(2))
    server = httpd(site(*members))
    server.bodies(1)
    server.configure(site(*members, more="LBStickyHash maybe"))
    assert server.check_configuration()[0] != 0
    restart(server, site(*members))
    assert server.bodies(1) == ["backend2"]
