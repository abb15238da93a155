"""LBStickySlowStart: who comes into service gets a part of its share of new sessions, and by and by all of it."""

import collections
import concurrent.futures
import re

import pytest

from server import BACKEND_IS_DOWN, cluster, wait_until, with_routes
from test_graceful_restart import restart
from test_in_flight import SERVER_STATUS, SESSION, STATUS, gated, hold
from test_state import STATUS_COLUMN, column_of

# So long that the part stays the first tenth as long as a test lasts.
LONG = "LBStickySlowStart 5h"
NAMES = "LBStickySession JSESSIONID"


def site(members, more=LONG, settings="", **options):
    return STATUS + SERVER_STATUS + cluster(*members, settings=f"lbmethod=sticky {settings}", more=f"{NAMES}\n{more}",
                                            **options)


def recovering(server):
    """The routes of the members that are recovering, as JSON tells them."""
    return {worker["route"] for worker in server.report()["workers"] if "recovering" in worker["status"]}


def shares(server, count=110):
    """{name of the member: how many of so many new sessions it gets}"""
    return collections.Counter(server.bodies(count))


def gets_a_tenth(server, name="backend1", others=1):
    """Of `others` equal ones each gets a hundred, the recovering one ten."""
    counted = shares(server, 100 * others + 10)
    assert abs(counted[name] - 10) <= 1, counted
    of_others = [number for other, number in counted.items() if other != name]
    assert len(of_others) == others and max(of_others) - min(of_others) <= 1, counted
    return True


def change(server, member, **form):
    assert server.manager("mycluster", member.url, **form).status == 200


# -- every way into service -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bit", "NDSCHR", ids=["un-drained", "enabled", "un-stopped", "health check set right",
                                               "a standby no more", "a spare no more"])
def test_who_comes_into_service_in_the_manager_starts_slowly(httpd, backends, bit):
    members = backends(3)
    server = httpd(site(with_routes(members)), processes=3)
    change(server, members[0], **{f"w_status_{bit}": "1"})
    server.in_every_process(lambda: server.bodies(6))  # each process knows it
    assert recovering(server) == set()
    change(server, members[0], **{f"w_status_{bit}": "0"})
    assert recovering(server) == {"node1"}
    assert gets_a_tenth(server, others=2)


def test_whose_error_is_over_starts_slowly(httpd, backends):
    members = backends(2)
    server = httpd(site(with_routes(members, "retry=1")), expected=BACKEND_IS_DOWN)
    members[0].stop()
    server.curl(cookie=f"{SESSION}.node1")
    members[0].start()
    wait_until(lambda: server.curl(cookie=f"{SESSION}.node1").affinity == "route", "it serves again")
    assert recovering(server) == {"node1"}
    assert gets_a_tenth(server)


def test_whose_health_check_passes_again_starts_slowly(httpd, backends):
    members = backends(2)
    checked = "hcmethod=GET hcinterval=1 hcuri=/health hcpasses=1 hcfails=1"
    server = httpd(site(with_routes(members, checked)), modules=["proxy_hcheck"],
                   expected=BACKEND_IS_DOWN + [r"AH0330[12]: Health check (DIS|EN)ABLING", r"AH03251: .*Invalid"])
    members[0].status = 500
    wait_until(lambda: "unhealthy" in server.report()["workers"][0]["status"], "the check fails")
    assert recovering(server) == set()
    members[0].status = 200
    wait_until(lambda: recovering(server) == {"node1"}, "the check passes again")
    assert gets_a_tenth(server)


def test_who_is_added_in_the_manager_starts_slowly(httpd, backends):
    members = backends(3)
    server = httpd(site(with_routes(members[1:]), settings="growth=2"), processes=3)
    server.bodies(6)
    server.manager("mycluster", b_nwrkr=members[0].url, b_wyes="1")
    change(server, members[0], w_status_D="0", w_wr="node1")
    assert recovering(server) == {"node1"}
    assert gets_a_tenth(server, others=2)


def test_who_is_added_by_the_configuration_while_others_serve_starts_slowly(httpd, backends):
    lines = with_routes(backends(3))
    server = httpd(site(lines[1:]))
    assert recovering(server) == set()
    restart(server, site(lines))
    assert recovering(server) == {"node1"}
    assert gets_a_tenth(server, others=2)


def test_whom_the_configuration_enables_starts_slowly(httpd, backends):
    one, two = with_routes(backends(2))
    server = httpd(site([f"{one} status=+D", two]))
    server.bodies(2)
    restart(server, site([one, two]))
    assert recovering(server) == {"node1"}
    assert gets_a_tenth(server)


# -- and none that is none --------------------------------------------------------------------------------------------


def test_at_the_start_and_over_graceful_restarts_nobody_starts_slowly(httpd, backends):
    server = httpd(site(with_routes(backends(2))), processes=3)
    assert shares(server, 20) == {"backend1": 10, "backend2": 10}
    for _ in range(2):
        server.graceful()
        assert shares(server, 20) == {"backend1": 10, "backend2": 10}
    assert recovering(server) == set()


def test_who_is_recovering_goes_on_with_it_over_a_graceful_restart(httpd, backends):
    members = backends(2)
    server = httpd(site(with_routes(members)))
    change(server, members[0], w_status_D="1")
    change(server, members[0], w_status_D="0")
    for _ in range(2):
        server.graceful()
        assert recovering(server) == {"node1"}
        assert gets_a_tenth(server)


def test_where_nobody_else_can_serve_nobody_is_held_back(httpd, backends):
    members = backends(3)
    server = httpd(site([*with_routes(members[:2]), f"{members[2].url} route=node3 status=+D"]))
    for bit in "10":
        for member in members[:2]:
            change(server, member, w_status_S=bit)
    assert recovering(server) == set()
    assert shares(server, 20) == {"backend1": 10, "backend2": 10}


def test_without_the_directive_nobody_starts_slowly(httpd, backends):
    members = backends(2)
    server = httpd(site(with_routes(members), more="\n"))
    change(server, members[0], w_status_D="1")
    change(server, members[0], w_status_D="0")
    assert recovering(server) == set()
    assert shares(server, 20) == {"backend1": 10, "backend2": 10}


def test_a_later_section_takes_it_back(httpd, backends):
    members = backends(2)
    server = httpd(site(with_routes(members)) + '<Proxy "balancer://*">\nLBStickySlowStart 0\n</Proxy>\n')
    change(server, members[0], w_status_D="1")
    change(server, members[0], w_status_D="0")
    assert recovering(server) == set()
    assert shares(server, 20) == {"backend1": 10, "backend2": 10}


# -- how it starts ----------------------------------------------------------------------------------------------------


def test_all_processes_and_many_requests_at_once_share_one_thinning(httpd, backends):
    members = backends(2)
    server = httpd(site(with_routes(members)), processes=3)
    change(server, members[0], w_status_D="1")
    change(server, members[0], w_status_D="0")
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        counted = sum(pool.map(lambda _: shares(server, 110), range(4)), collections.Counter())
    assert abs(counted["backend1"] - 40) <= 1 and counted["backend2"] == 440 - counted["backend1"]


def test_its_part_is_as_large_as_is_told(httpd, backends):
    members = backends(2)
    server = httpd(site(with_routes(members), more=f"{LONG} from=50%"))
    change(server, members[0], w_status_D="1")
    change(server, members[0], w_status_D="0")
    counted = shares(server, 60)
    assert abs(counted["backend1"] - 20) <= 1


def test_it_ends_and_all_have_their_shares(httpd, backends):
    members = backends(2)
    server = httpd(site(with_routes(members), more="LBStickySlowStart 1500ms"), processes=3)
    change(server, members[0], w_status_D="1")
    change(server, members[0], w_status_D="0")
    seen = shares(server, 11)
    wait_until(lambda: recovering(server) == set(), "it has recovered")
    assert seen["backend2"] >= seen["backend1"]
    assert shares(server, 60) == {"backend1": 30, "backend2": 30}


def test_sessions_of_its_own_and_hashed_ones_are_not_held_back(httpd, backends):
    members = backends(3)
    server = httpd(site(with_routes(members)))
    ids = [f"JSESSIONID=id{number}" for number in range(20)]
    before = [server.curl(cookie=id).body for id in ids]
    change(server, members[0], w_status_D="1")
    change(server, members[0], w_status_D="0")
    for cookie in (f"{SESSION}.node1", "lbsticky_mycluster=.node1"):
        assert set(server.bodies(20, cookie=cookie)) == {"backend1"}
    assert [server.curl(cookie=id).body for id in ids] == before
    assert recovering(server) == {"node1"}


def test_by_busyness_it_gets_its_part_at_most_however_idle_it_is(httpd, backends, send):
    members = gated(backends, 3)
    server = httpd(site(with_routes(members), more=f"{LONG}\nLBStickyPlace busyness"), processes=5)
    change(server, members[0], w_status_D="1")
    hold(send, server, members[1], times=2)
    hold(send, server, members[2], times=2)
    change(server, members[0], w_status_D="0")
    counted = shares(server, 210)
    assert abs(counted["backend1"] - 10) <= 1


def test_the_word_and_its_share_are_told_everywhere(httpd, backends):
    members = backends(2)
    server = httpd(site(with_routes(members)))
    change(server, members[0], w_status_D="1")
    change(server, members[0], w_status_D="0")
    one, two = server.report()["workers"]
    assert (one["status"], two["status"]) == (["usable", "recovering"], ["usable"])
    assert abs(one["weight_ratio"] - 0.0909) < 0.001 and abs(two["weight_ratio"] - 0.9091) < 0.001
    statuses = column_of(server.manager_page(), STATUS_COLUMN)
    assert re.fullmatch(r"recovering for \d+ s: 10% of its share", statuses[members[0].url])
    assert statuses[members[1].url] == "usable"
    assert "<httpd:status>usable recovering</httpd:status>" in server.manager_page("?xml=1")
    metrics = server.curl("/lbsticky-status").body
    assert re.findall(r'lbsticky_worker_status{.*"(\S+)",status="recovering"} 1', metrics) == [members[0].url]
    assert "StickyBalancer[0]Recovering: 1\n" in server.curl("/server-status?auto").body
