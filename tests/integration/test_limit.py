"""LBStickyLimit: who is full gets no new sessions, or none of its own for the moment; nobody is refused for it."""

import collections
import re
import xml.etree.ElementTree

import pytest

from server import BACKEND_IS_DOWN, by_either, wait_until, with_routes
from test_in_flight import SESSION, all_have_ended, gated, hold, in_flight, site
from test_placement import members_in_log
from test_state import TAG, UNAVAILABLE, moved_in, requests_in, rows_of
from test_virtual_hosts import in_two_hosts

OWN = "lbsticky_mycluster"
ALL = "LBStickyLimit all=1"
NAMED = "LBStickySession JSESSIONID"


def fill(send, server, *members):
    """Each of the members gets one more request, which it does not answer before its gate is set."""
    return [hold(send, server, member)[0]
            for member in members]


def told(answer):
    """(who served it, affinity, whether its route changed, cookies)"""
    return answer.body, answer.affinity, answer.route_changed, answer.set_cookies


@pytest.fixture
def three(httpd, backends):
    """three(options of each member, settings, more): (httpd, its three members, which answer /slow by their gates)."""
    def start(options=("", "", ""), settings="", more=f"{NAMED}\n{ALL}", method="lbmethod=sticky", **others):
        members = gated(backends, 3)
        lines = [f"{line} {option}" for line, option in zip(with_routes(members), options, strict=True)]
        return httpd(site(lines, f"{method} {settings}", more=more), processes=6, **others), members
    return start


# -- all=: a session whose member is full -----------------------------------------------------------------------------

# What it is: (options of the members, the request's cookie, its affinity at home).
FULL = {
    "a route": (["", "", ""], f"{SESSION}.node1", "route"),
    "a route of a draining member": (["status=+N", "", ""], f"{SESSION}.node1", "route"),
    "a route of a standby": (["status=+H", "", ""], f"{SESSION}.node1", "route"),
    "a route of a spare": (["status=+R", "", ""], f"{SESSION}.node1", "route"),
    "a route of another set": (["lbset=1", "", ""], f"{SESSION}.node1", "route"),
    "a route without an id": (["", "", ""], "JSESSIONID=.node1", "route"),
    "a route, and redirect=": (["redirect=node3", "", ""], f"{SESSION}.node1", "route"),
    "a chain of redirect=": (["redirect=node2", "redirect=node3 status=+D", ""], f"{SESSION}.node1", "route"),
    "a list of routes": (["", "", ""], f"{SESSION}.node1.node3", "route"),
    "a list of routes, and redirect=": (["redirect=node2", "", ""], f"{SESSION}.node1.node3", "route"),
    "own cookie": (["", "", ""], f"{OWN}=.node1", "cookie"),
    "own cookie of a draining member": (["status=+N", "", ""], f"{OWN}=.node1; JSESSIONID=12345", "cookie"),
    "own cookie, and redirect=": (["redirect=node3", "", ""], f"{OWN}=.node1", "cookie"),
    "own cookie, and an id": (["", "", ""], f"{OWN}=.node1; JSESSIONID=12345", "cookie"),
    "own cookie, and the route of a disabled member": (["", "status=+D", ""], f"{OWN}=.node1; {SESSION}.node2",
                                                       "cookie"),
    "an id that is hashed": (["", "", ""], "JSESSIONID=", "hash"),
}


@by_either
@pytest.mark.parametrize("options, cookie, affinity", FULL.values(), ids=FULL)
def test_a_session_whose_member_is_full_goes_where_failover_would_send_it_for_this_request_only(
        three, send, resolver, options, cookie, affinity):
    server, members = three(options, more=f"{resolver.get('more', '')}\n{ALL}", method=resolver["settings"])
    if affinity == "hash":
        ids = (f"JSESSIONID=id{number}" for number in range(100))
        cookie = next(id for id in ids if server.curl(cookie=id).body == "backend1")
    one = members[0].url
    server.manager("mycluster", one, w_status_D="1")
    failover = server.curl(cookie=cookie).body
    server.manager("mycluster", one, w_status_D="0")
    before = server.report()

    [request] = fill(send, server, members[0])
    for _ in range(2):
        assert told(server.curl(cookie=cookie)) == (failover, "overload", None, [])
        assert members_in_log(server) == (next(m.url for m in members if m.name == failover), one)
    report = server.report()
    route = failover.replace("backend", "node")
    assert requests_in(report)["overload", route] == 2
    assert moved_in(report)["node1"] == moved_in(before).get("node1", 0) + 2
    assert report["cookies_issued"] == before["cookies_issued"]
    members[0].gate.set()
    request.answer()
    all_have_ended(server)
    home = server.curl(cookie=cookie)
    assert (home.body, home.affinity) == ("backend1", affinity)


def test_where_the_configuration_or_the_session_names_who_stands_in_that_one_serves(three, send):
    server, members = three(["redirect=node3", "", ""])
    fill(send, server, members[0])
    assert {server.curl(cookie=f"JSESSIONID=id{n}.node1").body for n in range(6)} == {"backend3"}
    assert {server.curl(cookie=f"JSESSIONID=id{n}.node1.node2").body for n in range(6)} == {"backend2"}


def test_who_stands_in_and_is_full_too_is_passed_over(three, send):
    server, members = three(["redirect=node3", "", ""])
    fill(send, server, members[0], members[2])
    for cookie in (f"{OWN}=.node1", *(f"JSESSIONID=id{n}.node1{more}" for n in range(4) for more in ("", ".node3"))):
        assert told(server.curl(cookie=cookie)) == ("backend2", "overload", None, [])


def test_a_draining_member_stands_in_for_no_full_one(three, send):
    server, members = three(["redirect=node3", "", "status=+N"])
    fill(send, server, members[0])
    for cookie in (f"{OWN}=.node1", f"{SESSION}.node1", f"{SESSION}.node1.node3"):
        assert told(server.curl(cookie=cookie)) == ("backend2", "overload", None, [])


# Options of the second member, which is not to serve others' sessions.
NO_TARGETS = {"draining": "status=+N", "disabled": "status=+D", "stopped": "status=+S", "standby": "status=+H",
              "spare": "status=+R", "of another set": "lbset=1"}


@pytest.mark.parametrize("option", NO_TARGETS.values(), ids=NO_TARGETS)
def test_no_session_of_a_full_member_goes_to_one_that_takes_no_others(three, send, option):
    server, members = three(["", option, ""])
    fill(send, server, members[0])
    answers = [server.curl(cookie=f"JSESSIONID=id{n}.node1") for n in range(8)]
    assert {answer.affinity for answer in answers} == {"overload"}
    assert {answer.body for answer in answers} == {"backend3"}


@by_either
@pytest.mark.parametrize("cookie, affinity", [
    (f"{SESSION}.node1", "route"),
    (f"{SESSION}.node1.node2", "route"),
    (f"{OWN}=.node1", "cookie"),
], ids=["route", "list of routes", "own cookie"])
def test_with_nofailover_a_session_stays_at_its_full_member(three, send, resolver, cookie, affinity):
    server, members = three(["redirect=node2", "", ""], more=f"{resolver.get('more', '')}\n{ALL}",
                            method=f"{resolver['settings']} nofailover=On")
    fill(send, server, members[0])
    for _ in range(3):
        answer = server.curl(cookie=cookie)
        assert (answer.status, answer.body, answer.affinity) == (200, "backend1", affinity)
    assert moved_in(server.report()) == {}


def test_with_nofailover_a_limit_refuses_nothing_and_what_was_refused_before_still_is(three, send):
    server, members = three(["", "status=+D", ""], "nofailover=On", expected=UNAVAILABLE)
    fill(send, server, members[0], members[2])
    assert server.curl(cookie=f"{SESSION}.node2").status == 503
    ids = {server.curl(cookie=f"JSESSIONID=id{n}").status for n in range(6)}
    assert ids | {server.curl().status} == {200}


def test_a_failover_passes_over_who_is_full(three, send):
    """The session's own member is disabled; where it failed over to is full."""
    server, members = three(["status=+D", "", ""])
    first = server.curl(cookie=f"{SESSION}.node1")
    assert first.affinity == "failover"
    [full] = [member for member in members if member.name == first.body]
    [other] = [member for member in members[1:] if member is not full]
    fill(send, server, full)
    assert told(server.curl(cookie=f"{SESSION}.node1")) == (other.name, "failover", "1", [])
    assert members_in_log(server) == (other.url, full.url)
    counts = {worker["route"]: worker["moved_away"] for worker in server.report()["workers"]}
    assert counts == {"node1": 2, "node2": 0, "node3": 0}  # it belongs to node1, whoever is full


def test_a_failover_after_an_attempt_in_vain_passes_over_who_is_full(httpd, backends, send):
    dead, *others = [backends(1)[0], *gated(backends, 2)]
    server = httpd(site(with_routes([dead, *others], "retry=600"), more=f"{NAMED}\n{ALL}"), processes=4,
                   expected=BACKEND_IS_DOWN)
    fill(send, server, others[0])
    dead.stop()
    for _ in range(2):
        answer = server.curl(cookie=f"{SESSION}.node1")
        assert (answer.status, answer.body) == (200, "backend3")


@pytest.mark.parametrize("cookie, affinity", [
    (f"{SESSION}.node1", "route"),
    (f"{OWN}=.node1", "cookie"),
    (None, "new"),
], ids=["route", "own cookie", "nothing"])
def test_where_all_are_full_the_request_is_served(three, send, cookie, affinity):
    server, members = three()
    fill(send, server, *members)
    for _ in range(3):
        answer = server.curl(cookie=cookie)
        assert (answer.status, answer.affinity) == (200, affinity)
        assert cookie is None or answer.body == "backend1"  # at home: others are not less busy


def test_where_all_are_full_a_session_goes_to_the_less_busy_of_two(three, send):
    server, members = three(["redirect=node2", "", ""])
    fill(send, server, *members)
    assert server.curl(cookie=f"{SESSION}.node1").affinity == "route"
    fill(send, server, members[0])  # stays at home, as it is the first of two that are equal
    assert in_flight(server) == {"node1": 2, "node2": 1, "node3": 1}
    assert told(server.curl(cookie=f"{SESSION}.node1")) == ("backend2", "overload", None, [])


def test_the_limit_is_for_a_load_factor_of_one(three, send):
    server, members = three(["loadfactor=3", "", ""])
    for _ in range(3):
        assert server.curl(cookie=f"{SESSION}.node1").affinity == "route"
        fill(send, server, members[0])
    assert server.curl(cookie=f"{SESSION}.node1").affinity == "overload"
    server.manager("mycluster", members[0].url, w_lf="4")
    assert server.curl(cookie=f"{SESSION}.node1").affinity == "route"
    server.manager("mycluster", members[0].url, w_lf="2")
    assert server.curl(cookie=f"{SESSION}.node1").affinity == "overload"


def test_a_request_that_failed_does_not_fill_its_member(httpd, backends):
    member = backends(1)[0]
    other = backends(1)[0]
    server = httpd(site(with_routes([member, other], "retry=0"), more=f"{NAMED}\n{ALL}"), expected=BACKEND_IS_DOWN)
    member.stop()
    for _ in range(3):
        assert server.curl(cookie=f"{SESSION}.node1").body == "backend2"
    member.start()
    assert server.curl(cookie=f"{SESSION}.node1").affinity == "route"


def test_a_client_whose_member_is_full_is_not_given_the_cookie_of_another(three, send):
    """Also where everybody has one: only who has none at all is given one, by the member that serves a new session."""
    server, members = three(more=f"LBStickyCookie node\n{ALL}")
    hold(send, server, members[0], cookie="node=.node1")
    assert told(server.curl(cookie="node=.node1"))[1:] == ("overload", None, [])
    answer = server.curl()
    assert answer.affinity == "new" and answer.set_cookies == [f"node=.{answer.route}; Path=/; HttpOnly; SameSite=Lax"]


def test_virtual_hosts_that_share_a_balancer_share_its_limit(httpd, backends, send):
    members = gated(backends, 2)
    server = httpd(in_two_hosts(with_routes(members), ALL), processes=4)
    hold(send, server, members[0], "--header", "Host: one.example")
    for name in ("one.example", "two.example"):
        answer = server.curl("/", "--header", f"Host: {name}", cookie=f"{SESSION}.node1")
        assert told(answer) == ("backend2", "overload", None, [])


def test_a_limit_holds_where_the_method_is_chosen_in_the_manager(three, send):
    server, members = three(method="lbmethod=byrequests stickysession=JSESSIONID", more=ALL,
                            expected=["have no effect as long as"])
    server.manager("mycluster", b_lbm="sticky")
    fill(send, server, members[0])
    assert server.curl(cookie=f"{SESSION}.node1").affinity == "overload"


def test_overload_is_told_by_json_metrics_xml_panel_and_mod_status(three, send):
    server, members = three(["redirect=node2", "", ""])
    fill(send, server, members[0])
    server.bodies(3, cookie=f"{SESSION}.node1")
    report = server.report()
    assert requests_in(report) == {("overload", "node2"): 3}  # the other one is not counted before it has ended
    two = members[1].url
    line = f'lbsticky_requests_total{{balancer="mycluster",worker="{two}",affinity="overload"}} 3\n'
    assert line in server.curl("/lbsticky-status").body
    page = xml.etree.ElementTree.fromstring(server.manager_page("?xml=1"))
    [member] = [member for member in page.iter(f"{TAG}member") if member.findtext(f"{TAG}name") == two]
    assert {count.get("affinity"): count.text for count in member.iter(f"{TAG}requests")}["overload"] == "3"
    page = server.manager_page()
    columns = re.findall(r"<th scope=col>([^<]*)", page)
    assert [row[columns.index("overload")] for row in rows_of(page)] == ["0", "3", "0"]
    assert "StickyBalancer[0]Overload: 3\n" in server.curl("/server-status?auto").body
    server.graceful()
    assert "overload 3" in server.log().rsplit("requests so far by affinity: ", 1)[1]


# -- new=: new sessions -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", ["new=1", "all=1", "new=1 all=2", "new=2 all=1"])
@pytest.mark.parametrize("place", ["", "LBStickyPlace busyness", "LBStickyPlace sessions"])
def test_a_full_member_gets_no_new_session(three, send, limit, place):
    server, members = three(more=f"{NAMED}\nLBStickyLimit {limit}\n{place}")
    fill(send, server, members[0])
    answers = [server.curl("/", "--user-agent", f"browser {number}") for number in range(6)]
    assert {answer.affinity for answer in answers} == {"new"}
    assert {answer.body for answer in answers} == {"backend2", "backend3"}
    members[0].gate.set()
    all_have_ended(server)
    assert "backend1" in [server.curl("/", "--user-agent", f"late {number}").body for number in range(3)]


def test_new_sessions_pass_over_a_full_member_and_the_log_says_so(three, send):
    server, members = three(more=f"{NAMED}\nLBStickyLimit new=1")
    fill(send, server, members[0])
    chosen = []
    for _ in range(3):
        server.bodies(1)
        chosen.append(members_in_log(server))
    one, two, three_ = (member.url for member in members)
    assert collections.Counter(chosen) == {(two, one): 1, (two, None): 1, (three_, None): 1}


def test_a_limit_for_new_sessions_moves_no_others(three, send):
    server, members = three(more=f"{NAMED}\nLBStickyLimit new=1")
    fill(send, server, members[0])
    ids = (f"JSESSIONID=id{number}" for number in range(100))
    hashed = next(id for id in ids if server.curl(cookie=id).body == "backend1")
    for cookie, affinity in ((f"{SESSION}.node1", "route"), (f"{OWN}=.node1", "cookie"), (hashed, "hash")):
        answer = server.curl(cookie=cookie)
        assert (answer.body, answer.affinity) == ("backend1", affinity)


def test_where_all_are_full_a_new_session_goes_to_the_least_busy(three, send):
    server, members = three(more=f"{NAMED}\nLBStickyLimit new=1")
    fill(send, server, members[0], members[0], members[1], members[2], members[2])
    assert set(server.bodies(6)) == {"backend2"}


def test_an_id_that_is_not_hashed_is_limited_like_a_new_session(three, send):
    server, members = three(more=f"{NAMED}\nLBStickyHash off\nLBStickyLimit new=1")
    fill(send, server, members[0])
    answers = [server.curl(cookie=SESSION) for _ in range(6)]
    assert {(answer.body, answer.affinity) for answer in answers} == {("backend2", "new"), ("backend3", "new")}


def test_a_standby_gets_no_new_session_because_others_are_full(three, send):
    server, members = three(["", "", "status=+H"], more=f"{NAMED}\nLBStickyLimit new=1")
    fill(send, server, members[0], members[1])
    assert set(server.bodies(6)) == {"backend1", "backend2"}


def test_only_so_many_new_sessions_are_placed_as_the_limit_says(three, send):
    server, members = three(["", "loadfactor=2", ""], more=f"{NAMED}\nLBStickyLimit new=1")
    for number in range(1, 5):
        send(server, "/slow")
        wait_until(lambda: sum(len(member.requests) for member in members) == number, "a member has the request")
    assert in_flight(server) == {"node1": 1, "node2": 2, "node3": 1}
