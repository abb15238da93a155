"""The decision table: where a request goes, and the word for why.

Every balancer of these tests stands three times in one httpd, with the same members:

  /httpd/    lbmethod=sticky, session ids named by stickysession=
  /module/   lbmethod=sticky, session ids named by LBStickySession
  /stock/    lbmethod=byrequests, to compare with

Table.ask() asks the first two and demands that they agree in everything a user sees. Before each request it asks where
that would go, and demands that it goes there.
"""

import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from backend import Backend
from server import BACKEND_IS_DOWN, MANAGER, STATUS, Server, cluster, wait_until
from test_graceful_restart import restart
from test_protocols import FastCgi, two_responders

RESOLVERS = ("httpd", "module")

# The one line that says that a request could not be served.
NOBODY_CAN_SERVE = [r"balancer://\S+: All workers are in error state"]
ROUTE_WITH_A_DOT = [r"holds '\.', the separator"]


OWN = "lbsticky_OF_BOTH"  # how log lines name the own cookie of either balancer


class Table:
    """An httpd with these members in three balancers. Members have route=node1, node2, … unless they say otherwise."""

    def __init__(self, start, nodes, members, settings="", more="", session="JSESSIONID|jsessionid", before="",
                 **options):
        self.nodes = nodes
        lines = [f"{node.url} route=node{i} {member}" for i, (node, member) in enumerate(zip(nodes, members), 1)]
        ways = {
            "httpd": dict(settings=f"lbmethod=sticky stickysession={session} {settings}", more=more),
            "module": dict(settings=f"lbmethod=sticky {settings}", more=f"LBStickySession {session}\n{more}"),
            "stock": dict(settings=f"lbmethod=byrequests stickysession={session} {settings}"),
        }
        configuration = "".join(cluster(*lines, name=way, path=f"/{way}/", **how) for way, how in ways.items())
        self.server = start(before + configuration + MANAGER + STATUS, **options)

    def ask_one(self, way, path="", *arguments, cookie=None):
        """(the answer, the module's log lines about it)."""
        said = None
        if way in RESOLVERS and not arguments:
            said = self.server.explain(way, f"/{way}/{path}", cookie=cookie)
        seen = len(self.server.decisions())
        answer = self.server.curl(f"/{way}/{path}", *arguments, cookie=cookie)
        lines = [line.removeprefix(f"balancer://{way}: ").replace(f"lbsticky_{way}", OWN)
                 for line in self.server.decisions()[seen:]]
        if said and said["member"]:  # or it may wait for somebody who can serve
            # In which order members take turns, another process may not know yet when one has just failed.
            member = r"\S+" if said["affinity"] == "new" else re.escape(said["member"])
            assert re.fullmatch(rf"affinity {said['affinity']}\b.*, member {member}( rather than .*)?", lines[0])
        return answer, lines

    def ask(self, path="", *arguments, cookie=None):
        """The answer that both resolvers gave, with its log lines as .log."""
        told = {}
        for way in RESOLVERS:
            answer, answer.log = self.ask_one(way, path, *arguments, cookie=cookie)
            told[way] = dict(status=answer.status, affinity=answer.affinity, worker=answer.worker, route=answer.route,
                             route_changed=answer.route_changed, session_sticky=answer.session_sticky,
                             session_route=answer.session_route, log=answer.log,
                             body=answer.body if answer.status == 200 else None)
        assert told["httpd"] == told["module"]
        return answer

    def names(self, count):
        """Who served each of so many requests without a session, one after the other; both resolvers agree."""
        served = {way: self.server.bodies(count, path=f"/{way}/") for way in RESOLVERS}
        assert served["httpd"] == served["module"]
        return served["httpd"]

    def error_lines(self):
        return re.findall(r"^.*\[[a-z0-9_]*:(?:error|crit|alert|emerg)\].*$", self.server.log(), re.MULTILINE)

    def attempts(self, node):
        """How often connecting to that node was tried in vain."""
        return len(re.findall(rf"AH00957: .*attempt to connect to 127\.0\.0\.1:{node.port}\b", self.server.log()))


@pytest.fixture
def table(httpd, backends):
    """table(member, …, settings=…, more=…): parameters of one member each; a backend runs for every one of them."""
    return lambda *members, **options: Table(httpd, backends(len(members)), members, **options)


# -- 1: a session id whose route names a member that can serve --------------------------------------------------------


@pytest.fixture(scope="module")
def three_routes(module, request, tmp_path_factory):
    """node1, node2 and, with a dot in it, node2.east: one httpd for all ways to write down a session id."""
    nodes = [Backend(f"backend{i}") for i in (1, 2, 3)]
    folder = tmp_path_factory.mktemp("three_routes") / "httpd"

    def start(configuration, **options):
        server = Server(folder, module, configuration, mpm=request.config.getoption("--mpm"), **options)
        server.start()
        return server

    table = Table(start, nodes, ["", "", "route=node2.east"], expected=ROUTE_WITH_A_DOT)
    yield table
    table.server.stop()
    for node in nodes:
        node.stop()
    table.server.check_log()


# What it is: (path, cookie, member, the name it was found by, the route that was found).
WAYS_TO_WRITE_A_ROUTE = {
    "a cookie": ("", "JSESSIONID=x.node2", 2, "JSESSIONID", "node2"),
    "a cookie among others": ("", "a=b; JSESSIONID=x.node2; c=d", 2, "JSESSIONID", "node2"),
    "a cookie without an id": ("", "JSESSIONID=.node2", 2, "JSESSIONID", "node2"),
    "a quoted cookie": ("", 'JSESSIONID="x.node2"', 2, "JSESSIONID", "node2"),
    "blanks around name and value": ("", "a=b;  JSESSIONID = x.node2 ; c=d", 2, "JSESSIONID", "node2"),
    "a path parameter": (";jsessionid=x.node2", None, 2, "jsessionid", "node2"),
    "a path parameter before a query": ("a;jsessionid=x.node2?b=c", None, 2, "jsessionid", "node2"),
    "a path parameter in the middle": ("a;jsessionid=x.node2/b", None, 2, "jsessionid", "node2"),
    "a path parameter among others": ("a;v=1;jsessionid=x.node2;w=2", None, 2, "jsessionid", "node2"),
    "the query": ("?jsessionid=x.node2", None, 2, "jsessionid", "node2"),
    "the query among others": ("a?b=c&jsessionid=x.node2&d=e", None, 2, "jsessionid", "node2"),
    "the URL before the cookie": (";jsessionid=x.node2", "JSESSIONID=y.node1", 2, "jsessionid", "node2"),
    "a route with a dot": ("", "JSESSIONID=x.node2.east", 3, "JSESSIONID", "node2.east"),
    "an id with dots": ("", "JSESSIONID=a.b.c.node2", 2, "JSESSIONID", "node2"),
    "dots in id and route": ("", "JSESSIONID=a.b.node2.east", 3, "JSESSIONID", "node2.east"),
    "an id that looks like a route": ("", "JSESSIONID=node1.node2.east", 3, "JSESSIONID", "node2.east"),
    "the first of several known routes": ("", "JSESSIONID=x.node2.east.node1", 3, "JSESSIONID", "node2.east"),
    "the first of the known routes that end it": ("", "JSESSIONID=x.node2.gone.node1", 1, "JSESSIONID", "node1"),
    "the second cookie, where the first has no route": ("", "JSESSIONID=x; JSESSIONID=y.node2", 2, "JSESSIONID",
                                                        "node2"),
    "the second cookie, where the first is empty": ("", "JSESSIONID=; JSESSIONID=y.node2", 2, "JSESSIONID", "node2"),
    "the second cookie, where the first route is unknown": ("", "JSESSIONID=x.gone; JSESSIONID=y.node2", 2,
                                                            "JSESSIONID", "node2"),
    "the first cookie, where both routes can serve": ("", "JSESSIONID=x.node2; JSESSIONID=y.node1", 2, "JSESSIONID",
                                                      "node2"),
}


@pytest.mark.parametrize("path, cookie, member, name, route", WAYS_TO_WRITE_A_ROUTE.values(), ids=WAYS_TO_WRITE_A_ROUTE)
def test_a_known_route_reaches_its_member_however_it_is_written(three_routes, path, cookie, member, name, route):
    node = three_routes.nodes[member - 1]
    for _ in range(2):
        answer = three_routes.ask(path, cookie=cookie)
        assert (answer.status, answer.body, answer.affinity) == (200, node.name, "route")
        assert (answer.session_sticky, answer.session_route, answer.route_changed) == (name, route, None)
        assert (answer.route, answer.worker) == (route, node.url)
        assert len(answer.log) == 1
        assert re.fullmatch(rf"affinity route, session {name}=\S*\.\.\.\(\d+\), member {node.url}", answer.log[0])


# What it is: (path, cookie, route that was found).
WAYS_TO_WRITE_NO_ROUTE = {
    "no separator": ("", "JSESSIONID=x", None),
    "nothing after the separator": ("", "JSESSIONID=x.", None),
    "a route that no member has": ("", "JSESSIONID=x.gone", "gone"),
    "the beginning of a route": ("", "JSESSIONID=x.node", "node"),
    "more than a route": ("", "JSESSIONID=x.node22", "node22"),
    "a route in other letters": ("", "JSESSIONID=x.NODE2", "NODE2"),
    "a route before the last separator": ("", "JSESSIONID=node2.x", "x"),
    "the URL without a route before the cookie with one": (";jsessionid=x", "JSESSIONID=y.node2", None),
    "a URL with a route that no member has": ("?jsessionid=x.gone", None, "gone"),
}


@pytest.mark.parametrize("path, cookie, route", WAYS_TO_WRITE_NO_ROUTE.values(), ids=WAYS_TO_WRITE_NO_ROUTE)
def test_a_session_id_without_a_known_route_is_hashed(three_routes, path, cookie, route):
    answers = [three_routes.ask(path, cookie=cookie) for _ in range(4)]
    assert {answer.status for answer in answers} == {200}
    assert {answer.affinity for answer in answers} == {"hash"}
    assert len({answer.body for answer in answers}) == 1
    assert {answer.session_route for answer in answers} == {route}


# What is not the session's name: in the cookie names are told apart exactly, by both resolvers.
NOT_OUR_NAME = {
    "nothing at all": ("", None),
    "another cookie": ("", "SESSION=x.node2"),
    "a longer name": ("", "XJSESSIONID=x.node2; JSESSIONIDX=x.node2; JSESSIONID2=x.node2"),
    "a name in other letters": ("", "jsessionid=x.node2"),
    "a value that holds the name": ("", "a=JSESSIONID; b=xJSESSIONID=x.node2"),
    "an empty value": ("", "JSESSIONID="),
    "another path parameter": (";sessionid=x.node2", None),
    "a path parameter in other letters": (";JSESSIONID=x.node2", None),
    "a path parameter without a value": (";jsessionid", None),
    "a path that holds the name": ("jsessionid/x.node2", None),
}


@pytest.mark.parametrize("path, cookie", NOT_OUR_NAME.values(), ids=NOT_OUR_NAME)
def test_a_request_without_a_session_id_is_a_new_one_and_takes_its_turn(three_routes, path, cookie):
    answers = [three_routes.ask(path, cookie=cookie) for _ in range(6)]
    assert {answer.affinity for answer in answers} == {"new"}
    assert {answer.session_route for answer in answers} == {answer.session_sticky for answer in answers} == {None}
    order = [answer.body for answer in answers]
    assert order[3:] == order[:3] and sorted(order[:3]) == ["backend1", "backend2", "backend3"]
    assert answers[0].log == [
        f"affinity new, no session (no JSESSIONID|jsessionid, no cookie {OWN}), member {answers[0].worker}"]


def test_of_several_cookies_with_one_name_one_whose_route_can_serve_is_preferred(table):
    """mod_proxy_balancer looks at the first one alone: redirect= and nofailover= are applied to that one."""
    t = table("status=+D", "", "")
    for _ in range(3):
        answer = t.ask(cookie="JSESSIONID=x.node1; JSESSIONID=y.node3; JSESSIONID=z.node2")
        assert (answer.body, answer.affinity, answer.session_route) == ("backend3", "route", "node3")


def test_of_several_cookies_whose_routes_cannot_serve_the_first_one_counts(table):
    t = table("status=+D", "", "status=+D")
    answer = t.ask(cookie="JSESSIONID=x.gone; JSESSIONID=y.node3; JSESSIONID=z.node1")
    assert (answer.body, answer.affinity, answer.session_route) == ("backend2", "failover", "node3")


def test_of_several_names_in_LBStickySession_the_first_that_is_present_counts(httpd, backends):
    nodes = backends(3)
    server = httpd(cluster(*(f"{node.url} route=node{i}" for i, node in enumerate(nodes, 1)),
                           more="LBStickySession FIRST|first SECOND\nLBStickySession third"))

    def ask(path="/", cookie=None):
        answer = server.curl(path, cookie=cookie)
        return answer.body, answer.affinity, answer.session_sticky

    assert ask(cookie="SECOND=x.node2; FIRST=x.node1; third=x.node3") == ("backend1", "route", "FIRST")
    assert ask(cookie="third=x.node3; SECOND=x.node2") == ("backend2", "route", "SECOND")
    assert ask(cookie="third=x.node3") == ("backend3", "route", "third")
    assert ask("/;first=x.node3", cookie="FIRST=x.node1; SECOND=x.node2") == ("backend3", "route", "first")
    assert ask("/;SECOND=x.node3", cookie="FIRST=x.node1") == ("backend1", "route", "FIRST")
    assert ask("/?third=x.node3") == ("backend3", "route", "third")
    # The first that is present, not the first that has a route.
    assert ask(cookie="FIRST=x; SECOND=x.node2")[1] == "hash"


def test_LBStickySession_counts_where_there_is_a_stickysession_that_finds_nothing(httpd, backends):
    nodes = backends(2)
    server = httpd(cluster(*(f"{node.url} route=node{i}" for i, node in enumerate(nodes, 1)),
                           settings="lbmethod=sticky stickysession=OLD", more="LBStickySession NEW"),
                   expected=["stickysession=OLD is none of the names of LBStickySession"])
    answers = [server.curl(cookie="NEW=x.node2") for _ in range(3)]
    assert {(answer.body, answer.affinity, answer.session_sticky) for answer in answers} == {
        ("backend2", "route", "NEW")}


@pytest.mark.parametrize("separator, value, route", [
    (":", "x:node2", "node2"),
    ("!", "x!node2", "node2"),
    (":", "a.b:c:node2", "node2"),
    (".", "x.node2", "node2"),
    ("Off", "node2", "node2"),
])
def test_the_separator_is_what_stickysessionsep_says(table, separator, value, route):
    t = table("", "", settings=f"stickysessionsep={separator}")
    for path, cookie in (("", f"JSESSIONID={value}"), (f";jsessionid={value}", None)):
        answers = [t.ask(path, cookie=cookie) for _ in range(2)]
        assert {(answer.body, answer.affinity, answer.session_route) for answer in answers} == {
            ("backend2", "route", route)}


@pytest.mark.parametrize("separator, value", [(":", "x.node2"), ("Off", "x.node2"), (":", "node2")])
def test_what_follows_another_separator_is_no_route(table, separator, value):
    t = table("", "", settings=f"stickysessionsep={separator}")
    answers = [t.ask(cookie=f"JSESSIONID={value}") for _ in range(3)]
    assert {answer.affinity for answer in answers} == {"hash"}
    assert len({answer.body for answer in answers}) == 1


@pytest.mark.parametrize("delimiter", ["On", "Off"])
def test_a_path_parameter_ends_at_a_semicolon_whatever_scolonpathdelim_says(table, delimiter):
    t = table("", "", settings=f"scolonpathdelim={delimiter}")
    answer = t.ask("a;jsessionid=x.node2;b=c")
    assert (answer.body, answer.affinity, answer.session_route) == ("backend2", "route", "node2")


# -- 3: redirect= -----------------------------------------------------------------------------------------------------

# What it is: (members, member that serves sessions of node1).
REDIRECTS = {
    "to the member it names": (["status=+D redirect=node3", "", ""], 3),
    "to the member it names, of a stopped one": (["status=+S redirect=node3", "", ""], 3),
    "along a chain": (["status=+D redirect=node2", "status=+D redirect=node3", "", ""], 3),
    "along a longer chain": (["status=+D redirect=node2", "status=+S redirect=node3", "status=+D redirect=node4", ""],
                             4),
    "to a standby": (["status=+D redirect=node3", "", "status=+H"], 3),
    "to a spare": (["status=+D redirect=node3", "", "status=+R"], 3),
    "to a higher lbset": (["status=+D redirect=node3", "", "lbset=2"], 3),
    "to nobody, where it names one that cannot serve": (["status=+D redirect=node3", "", "status=+D"], 2),
    "to nobody, where it names itself": (["status=+D redirect=node1", ""], 2),
    "to nobody, where no member has that route": (["status=+D redirect=gone", ""], 2),
    "to nobody, in a circle of two": (["status=+D redirect=node2", "status=+D redirect=node1", ""], 3),
    "to nobody, in a circle of three": (["status=+D redirect=node2", "status=+D redirect=node3",
                                         "status=+D redirect=node1", ""], 4),
    "to nobody, of a member that can serve itself": (["redirect=node2", ""], 1),
}


@pytest.mark.parametrize("members, serves", REDIRECTS.values(), ids=REDIRECTS)
def test_sessions_are_redirected(table, members, serves):
    t = table(*members)
    for session in "abcd":
        answer = t.ask(cookie=f"JSESSIONID={session}.node1")
        assert (answer.status, answer.body) == (200, f"backend{serves}")
        assert answer.affinity == ("route" if serves == 1 else "failover")
        assert answer.session_route == "node1"
        assert answer.log == [
            f"affinity {answer.affinity}, session JSESSIONID={session}.n...(7), member {answer.worker}"]


@pytest.mark.parametrize("members, serves", [
    (["status=+D redirect=node3", "", ""], 3),
    (["status=+D redirect=node2", "status=+D redirect=node3", ""], 3),
    (["status=+D redirect=node2", "status=+D redirect=node1", ""], None),
    (["status=+D redirect=node2", "status=+D", ""], None),
    (["status=+D redirect=gone", "", ""], None),
], ids=["redirected", "along a chain", "in a circle", "to one that cannot serve", "to an unknown route"])
def test_nofailover_refuses_a_session_only_where_no_redirect_helps(table, members, serves):
    t = table(*members, settings="nofailover=On", expected=NOBODY_CAN_SERVE)
    answer = t.ask(cookie="JSESSIONID=x.node1")
    if serves:
        assert (answer.status, answer.body, answer.affinity) == (200, f"backend{serves}", "failover")
    else:
        assert (answer.status, answer.affinity, answer.worker) == (503, "refused", None)


def test_a_session_of_a_member_that_dies_is_redirected(table):
    t = table("redirect=node3", "", "", expected=BACKEND_IS_DOWN)
    assert t.ask(cookie="JSESSIONID=x.node1").affinity == "route"
    t.nodes[0].stop()
    first = t.ask(cookie="JSESSIONID=x.node1")
    assert (first.status, first.body, first.affinity) == (200, "backend3", "failover")
    assert len(first.log) == 2  # the member that did not answer, and the one that did
    assert t.ask(cookie="JSESSIONID=x.node1").log == first.log[1:]


def test_a_draining_member_is_redirected_no_sessions_to(httpd, backends):
    """With stickysession= mod_proxy_balancer follows the redirect, by its own rules, before this module is asked."""
    nodes = backends(3)
    server = httpd(cluster(f"{nodes[0].url} route=node1 status=+D redirect=node2",
                           f"{nodes[1].url} route=node2 status=+N", f"{nodes[2].url} route=node3",
                           more="LBStickySession JSESSIONID"))
    assert server.bodies(3, cookie="JSESSIONID=x.node1") == ["backend3"] * 3
    assert server.bodies(3, cookie="JSESSIONID=x.node2") == ["backend2"] * 3


# -- 4: nofailover=On -------------------------------------------------------------------------------------------------


def test_with_nofailover_a_session_is_refused_where_its_member_cannot_serve(table):
    t = table("", "status=+D", settings="nofailover=On", expected=NOBODY_CAN_SERVE)
    answer = t.ask(cookie="JSESSIONID=x.node2")
    assert (answer.status, answer.affinity, answer.worker, answer.route_changed) == (503, "refused", None, None)
    assert answer.log == ["affinity refused, session JSESSIONID=x.n...(7), no member"]
    assert t.server.curl("/stock/", cookie="JSESSIONID=x.node2").status == 503
    assert len(t.error_lines()) == 3, "one line for each of the three requests"


def test_with_nofailover_sessions_of_other_members_are_served(table):
    t = table("", "status=+D", settings="nofailover=On")
    answer = t.ask(cookie="JSESSIONID=x.node1")
    assert (answer.status, answer.body, answer.affinity) == (200, "backend1", "route")


@pytest.mark.parametrize("cookie, affinity", [
    ("JSESSIONID=x.gone", "hash"),
    ("JSESSIONID=x", "hash"),
    (None, "new"),
])
def test_with_nofailover_a_request_that_names_no_member_is_placed_anew(table, cookie, affinity):
    t = table("", "status=+D", settings="nofailover=On")
    answers = [t.ask(cookie=cookie) for _ in range(4)]
    assert {(answer.status, answer.body, answer.affinity) for answer in answers} == {(200, "backend1", affinity)}
    assert t.server.curl("/stock/", cookie=cookie or "a=b").status == 200


def test_with_nofailover_a_session_is_refused_as_long_as_its_member_is_dead(table):
    t = table("retry=0", "retry=0", settings="nofailover=On", expected=BACKEND_IS_DOWN + NOBODY_CAN_SERVE)
    t.nodes[1].stop()
    for _ in range(2):
        answer = t.ask(cookie="JSESSIONID=x.node2")
        assert (answer.status, answer.affinity) == (503, "refused")
    t.nodes[1].start()
    answer = t.ask(cookie="JSESSIONID=x.node2")
    assert (answer.status, answer.body, answer.affinity) == (200, "backend2", "route")


def test_with_nofailover_a_draining_member_that_was_dead_gets_its_sessions_back(table):
    t = table("retry=0", "retry=0 status=+N", settings="nofailover=On", expected=BACKEND_IS_DOWN + NOBODY_CAN_SERVE)
    t.nodes[1].stop()
    assert t.ask(cookie="JSESSIONID=x.node2").affinity == "refused"
    t.nodes[1].start()
    answer = t.ask(cookie="JSESSIONID=x.node2")
    assert (answer.status, answer.body, answer.affinity) == (200, "backend2", "route")


def test_a_draining_member_that_was_dead_gets_its_sessions_back_where_nobody_else_can_serve(table):
    t = table("status=+D", "retry=0 status=+N", expected=BACKEND_IS_DOWN + NOBODY_CAN_SERVE)
    t.nodes[1].stop()
    assert t.ask(cookie="JSESSIONID=x.node2").status == 503
    t.nodes[1].start()
    answer = t.ask(cookie="JSESSIONID=x.node2")
    assert (answer.status, answer.body, answer.affinity) == (200, "backend2", "route")


def test_a_refused_session_does_not_wait_for_the_timeout_of_the_balancer(table):
    """timeout= is the time to wait for a member that may serve: nobody else may serve this session. mod_proxy_balancer
    says so at once; curl does not wait for an hour."""
    t = table("", "status=+D", settings="nofailover=On timeout=3600", expected=NOBODY_CAN_SERVE)
    answer = t.ask("", "--max-time", "20", cookie="JSESSIONID=x.node2")
    assert (answer.status, answer.affinity) == (503, "refused")
    lines = re.findall(r"AH01167: balancer://(\w+): All workers are in error state for route \(node2\)$", t.server.log(),
                       re.MULTILINE)
    assert lines == list(RESOLVERS), "httpd's own line, by which monitors know it"


# -- 5: failover ------------------------------------------------------------------------------------------------------


def test_all_requests_of_a_session_fail_over_to_the_same_member_parallel_ones_too(table):
    t = table("", "", "", "", expected=BACKEND_IS_DOWN)
    t.nodes[1].stop()
    served = {}
    with ThreadPoolExecutor(8) as threads:
        for way in RESOLVERS:
            answers = list(threads.map(lambda _, way=way: t.server.curl(f"/{way}/", cookie="JSESSIONID=x.node2"),
                                       range(24)))
            assert {answer.status for answer in answers} == {200}
            assert {answer.affinity for answer in answers} == {"failover"}
            served[way] = {answer.body for answer in answers}
            assert len(served[way]) == 1
    assert served["httpd"] == served["module"]


def test_sessions_of_a_member_that_cannot_serve_are_spread_over_the_others(table):
    t = table("", "status=+D", "", "")
    assert {t.ask(cookie=f"JSESSIONID=id{n}.node2").body for n in range(16)} == {"backend1", "backend3", "backend4"}


def test_only_sessions_of_the_member_that_died_move(table):
    t = table("", "", "", expected=BACKEND_IS_DOWN)
    ids = [f"id{n}" for n in range(8)]
    before = {session: t.ask(cookie=f"JSESSIONID={session}") for session in ids}
    assert {answer.body for answer in before.values()} == {"backend1", "backend2", "backend3"}
    t.nodes[1].stop()
    for session, was in before.items():
        now = t.ask(cookie=f"JSESSIONID={session}")
        moves = was.body == "backend2"
        assert (now.status, now.affinity) == (200, "failover" if moves else "hash")
        assert (now.body == was.body) == (not moves), session
    assert t.ask(cookie="JSESSIONID=x.node3").affinity == "route"


def test_a_session_that_failed_over_and_one_without_a_route_share_their_member(table):
    """So a member that has lost its route= for a while scatters nothing."""
    t = table("", "status=+D", "", "")
    for session in ("a", "b", "c", "d"):
        session *= 32
        failover, hashed = (t.ask(cookie=f"JSESSIONID={session}{route}") for route in (".node2", ""))
        assert (failover.affinity, hashed.affinity) == ("failover", "hash")
        assert failover.body == hashed.body


LISTS = {
    "ranked affinity (WildFly)": ("", "x" * 32 + ".node{}.node{}.node{}"),
    "primary and secondary (WebLogic)": ("stickysessionsep=!", "x" * 32 + "!node{}!node{}!node{}"),
    "clones (WebSphere)": ("stickysessionsep=:", "0001" + "x" * 23 + ":node{}:node{}:node{}"),
}


@pytest.mark.parametrize("settings, value", LISTS.values(), ids=LISTS)
def test_of_a_list_of_routes_the_first_that_can_serve_gets_the_session(table, settings, value):
    t = table("", "status=+D", "", "status=+D redirect=node1", settings=settings)
    served = {order: t.ask(cookie=f"JSESSIONID={value.format(*order)}") for order in ((3, 1, 2), (2, 3, 1), (2, 4, 1))}
    assert [(answer.body, answer.affinity, answer.session_route) for answer in served.values()] == [
        ("backend3", "route", "node3"), ("backend3", "failover", "node2"), ("backend1", "failover", "node2")]


def test_a_session_whose_member_was_taken_out_stays_where_it_failed_over_to(httpd, backends):
    nodes = backends(4)
    members = [f"{node.url} route=node{number}" for number, node in enumerate(nodes, 1)]
    configuration = cluster(*members, more="LBStickySession JSESSIONID")
    server = httpd(configuration, expected=BACKEND_IS_DOWN)
    ids = [f"{number:032x}.node3" for number in range(40)]
    ids += ["sticky.node3"]  # that of everybody: it goes by the client's address
    nodes[2].stop()

    def places():
        return {session: server.curl(cookie=f"JSESSIONID={session}").body for session in ids}

    failed_over = places()
    assert set(failed_over.values()) == {"backend1", "backend2", "backend4"}
    # A front end that has the new configuration already agrees with one that has not.
    new = cluster(*members[:2], *members[3:], more="LBStickySession JSESSIONID")
    other = httpd(new)
    assert {session: other.curl(cookie=f"JSESSIONID={session}").body for session in ids} == failed_over
    restart(server, new)
    assert places() == failed_over


def test_clients_that_share_a_short_id_do_not_all_fail_over_to_one_member(httpd, backends):
    nodes = backends(4)
    members = [f"{node.url} route=node{number}" for number, node in enumerate(nodes, 1)]
    settings = "RemoteIPHeader X-Client\nRemoteIPInternalProxy 127.0.0.1\n"
    configuration = cluster(*members[:2], f"{members[2]} status=+D", members[3],
                            settings="lbmethod=sticky stickysession=SERVERID")
    server = httpd(settings + configuration, modules=["remoteip"])

    def places():
        return {n: server.curl("/", "--header", f"X-Client: 192.0.2.{n}", cookie="SERVERID=sticky.node3").body
                for n in range(1, 31)}

    before = places()
    assert set(before.values()) == {"backend1", "backend2", "backend4"}
    restart(server, settings + cluster(*members[:2], members[3], settings="lbmethod=sticky stickysession=SERVERID"))
    assert places() == before


def test_a_short_id_without_a_route_is_the_same_for_all_clients(httpd, backends):
    """Somebody may place on purpose by it: shard=3."""
    server = httpd("RemoteIPHeader X-Client\nRemoteIPInternalProxy 127.0.0.1\n"
                   + cluster(*(node.url for node in backends(4)), more="LBStickySession shard"), modules=["remoteip"])
    for shard in range(4):
        assert len({server.curl("/", "--header", f"X-Client: 192.0.2.{n}", cookie=f"shard={shard}").body
                    for n in range(1, 9)}) == 1


def test_an_id_whose_member_fails_is_a_failover_that_is_counted(httpd, backends):
    nodes = backends(3)
    server = httpd(STATUS + cluster(*(f"{node.url} route=node{n} retry=600" for n, node in enumerate(nodes, 1)),
                                    more="LBStickySession JSESSIONID\nLBStickyCookie off"), expected=BACKEND_IS_DOWN)
    ids = [f"JSESSIONID={number:032x}" for number in range(30)]
    homes = {session: server.curl(cookie=session).body for session in ids}
    nodes[1].stop()
    answers = {session: server.curl(cookie=session) for session in ids}
    moved = [session for session in ids if homes[session] == "backend2"]
    assert len(moved) > 3
    for session, answer in answers.items():
        assert answer.status == 200
        assert (answer.affinity, answer.body == homes[session]) == (
            ("failover", False) if session in moved else ("hash", True))
    workers = {worker["route"]: worker for worker in server.report()["workers"]}
    assert {route: worker["moved_away"] for route, worker in workers.items()} == {
        "node1": 0, "node2": len(moved), "node3": 0}
    # Disabling it is no failure: its ids belong to others then.
    server.manager("mycluster", nodes[1].url, w_status_D="1")
    assert {server.curl(cookie=session).affinity for session in ids} == {"hash"}


# -- 6, 7: LBStickyHash, and new sessions -----------------------------------------------------------------------------


@pytest.mark.parametrize("value, said", [
    ("12345", "session JSESSIONID=12...(5)"),
    ("12345.gone", "route go...(4) of JSESSIONID=1234...(10) is no member's"),
    ("12345.Nod3", "route Nod3 of JSESSIONID=1234...(10) is no member's"),
])
def test_without_LBStickyHash_a_session_id_without_a_known_route_is_placed_like_a_new_one(table, value, said):
    t = table("", "", "", more="LBStickyHash off")
    answers = [t.ask(cookie=f"JSESSIONID={value}") for _ in range(6)]
    assert [answer.body for answer in answers] == ["backend1", "backend2", "backend3"] * 2
    assert {answer.affinity for answer in answers} == {"new"}
    assert answers[0].log == [f"affinity new, {said}, member {t.nodes[0].url}"]


def test_without_LBStickyHash_routes_and_failover_stick_all_the_same(table):
    t = table("", "status=+D", "", "", more="LBStickyHash off")
    for cookie, affinity in (("JSESSIONID=x.node3", "route"), ("JSESSIONID=x.node2", "failover")):
        answers = [t.ask(cookie=cookie) for _ in range(4)]
        assert {answer.affinity for answer in answers} == {affinity}
        assert len({answer.body for answer in answers}) == 1


def test_sessions_take_no_turns_from_new_requests(table):
    t = table("", "", "")
    for _ in range(2):
        t.ask(cookie="JSESSIONID=x.node1")
        t.ask(cookie="JSESSIONID=x")
        assert t.names(3) == ["backend1", "backend2", "backend3"]


def test_new_sessions_are_shared_out_by_loadfactor(table):
    t = table("loadfactor=1", "loadfactor=2", "loadfactor=3")
    assert sorted(t.names(6)) == ["backend1"] + ["backend2"] * 2 + ["backend3"] * 3
    assert sorted(t.server.bodies(6, path="/stock/")) == sorted(t.names(6))


# -- Who is eligible: as with the stock methods -----------------------------------------------------------------------

# What it is: (members, those that requests without a route go to, in the order of their turns).
ELIGIBLE = {
    "a disabled member gets none": (["", "status=+D", ""], "13"),
    "a stopped member gets none": (["", "status=+S", ""], "13"),
    "a draining member gets none": (["", "status=+N", ""], "13"),
    "a member that ignores errors is one like all": (["", "status=+I", ""], "123"),
    "a standby gets none while another serves": (["", "status=+H"], "1"),
    "standbys serve when nothing else can": (["status=+D", "status=+H", "status=+H"], "23"),
    "a draining standby does not stand in": (["status=+D", "status=+H+N", "status=+H"], "3"),
    "a spare gets none while all serve": (["", "status=+R", ""], "13"),
    "one spare stands in for one disabled member": (["status=+D", "", "status=+R", "status=+R"], "23"),
    "two spares stand in for two that cannot serve": (["status=+D", "status=+S", "", "status=+R", "status=+R"], "345"),
    "a spare stands in for a draining member": (["status=+N", "", "status=+R"], "23"),
    "a spare does not stand in for a standby": (["", "status=+H+D", "status=+R"], "1"),
    "a disabled spare does not stand in": (["status=+D", "status=+R+D", "status=+R", ""], "43"),
    "spares come before standbys": (["status=+D", "status=+H", "status=+R"], "3"),
    "the lowest lbset serves": (["lbset=2", "lbset=1", "lbset=1"], "23"),
    "the next lbset serves when the lowest cannot": (["lbset=0 status=+D", "lbset=1", "lbset=2"], "2"),
    "lbsets may leave out numbers": (["status=+D", "lbset=99"], "2"),
    "a draining member leaves its lbset": (["lbset=0 status=+N", "lbset=1", "lbset=1"], "23"),
    "a standby of a lower lbset comes before the next lbset": (["status=+D", "status=+H", "lbset=1"], "2"),
    "a spare stands in within its own lbset only": (["status=+D", "", "lbset=1 status=+R"], "2"),
}


@pytest.mark.parametrize("members, eligible", ELIGIBLE.values(), ids=ELIGIBLE)
def test_who_serves_requests_without_a_route(table, members, eligible):
    t = table(*members)
    turn = [f"backend{number}" for number in eligible]
    assert t.names(2 * len(turn)) == turn * 2
    assert sorted(t.server.bodies(2 * len(turn), path="/stock/")) == sorted(turn * 2)
    answers = [t.ask(cookie=f"JSESSIONID=id{n}") for n in range(3)]
    assert {answer.affinity for answer in answers} == {"hash"}
    assert {answer.body for answer in answers} <= set(turn)

    # A session goes to its member wherever that can serve at all: draining, spare, standby, of whatever set.
    for number, member in enumerate(members, 1):
        answer = t.ask(cookie=f"JSESSIONID=x.node{number}")
        if "+D" in member or "+S" in member:
            assert answer.affinity == "failover" and answer.body in turn
        else:
            assert (answer.affinity, answer.body) == ("route", f"backend{number}")
            assert t.server.curl("/stock/", cookie=f"JSESSIONID=x.node{number}").body == answer.body


def test_members_follow_their_status_in_the_manager(table):
    """Draining, then disabled, then back: each with the next request."""
    t = table("", "", "")
    steps = [(dict(w_status_N="1"), "route", ["backend1", "backend3"] * 2),
             (dict(w_status_N="0", w_status_D="1"), "failover", ["backend1", "backend3"] * 2),
             (dict(w_status_D="0"), "route", ["backend1", "backend2", "backend3"] * 2)]
    for form, affinity, turns in steps:
        for way in RESOLVERS:
            assert t.server.manager(way, worker=t.nodes[1].url, **form).status == 200
        answer = t.ask(cookie="JSESSIONID=x.node2")
        assert answer.affinity == affinity and (answer.body == "backend2") == (affinity == "route")
        assert sorted(t.names(len(turns))) == sorted(turns)


@pytest.mark.parametrize("members", [
    ["status=+D", "status=+D"],
    ["status=+D", "status=+S"],
    ["status=+D redirect=node2", "status=+D redirect=node1"],
    ["status=+S", "status=+H+D", "lbset=1 status=+R+D"],
], ids=["disabled", "stopped", "redirected in a circle", "standbys and spares too"])
@pytest.mark.parametrize("cookie, affinity", [
    (None, "new"),
    ("JSESSIONID=x", "hash"),
    ("JSESSIONID=x.node1", "failover"),
], ids=["new", "hash", "failover"])
def test_where_nobody_can_serve_the_answer_is_503_and_one_error_line_says_so(table, members, cookie, affinity):
    t = table(*members, expected=NOBODY_CAN_SERVE)
    answer = t.ask(cookie=cookie)
    assert (answer.status, answer.affinity, answer.worker, answer.route_changed) == (503, affinity, None, None)
    assert len(answer.log) == 1 and answer.log[0].endswith(", no member")
    errors = t.error_lines()
    assert len(errors) == 2, "one for each of the two requests"
    assert all("All workers are in error state" in line for line in errors)
    assert t.server.curl("/stock/", cookie=cookie or "a=b").status == 503


@pytest.mark.parametrize("draining", ["status=+N", "status=+H+N"])
def test_where_everyone_else_is_draining_only_sessions_are_served(table, draining):
    t = table(draining, "status=+D", expected=NOBODY_CAN_SERVE)
    assert t.ask(cookie="JSESSIONID=x.node1").affinity == "route"
    for cookie in (None, "JSESSIONID=x", "JSESSIONID=x.node2"):
        assert t.ask(cookie=cookie).status == 503
        assert t.server.curl("/stock/", cookie=cookie or "a=b").status == 503


# -- Members that fail while they are asked ---------------------------------------------------------------------------

EVERY_REQUEST = pytest.mark.parametrize("cookie", [None, "JSESSIONID=x", "JSESSIONID=x.node1"],
                                        ids=["new", "hash", "route"])


@EVERY_REQUEST
def test_a_request_that_waits_is_served_by_a_member_that_failed_in_it_and_is_back(table, cookie):
    t = table("retry=1", "retry=1", settings="timeout=30 maxattempts=60 forcerecovery=Off", expected=BACKEND_IS_DOWN)
    for way in RESOLVERS:
        for node in t.nodes:
            node.stop()
        before = [t.attempts(node) for node in t.nodes]
        with ThreadPoolExecutor(1) as client:
            waiting = client.submit(t.ask_one, way, cookie=cookie)
            wait_until(lambda: all(t.attempts(node) > count for node, count in zip(t.nodes, before)), "both were asked")
            t.nodes[0].start()
            answer, _ = waiting.result()
        assert (answer.status, answer.body) == (200, "backend1")


def test_where_all_failed_and_are_forced_to_recover_nobody_waits_any_longer_than_with_the_stock_methods(table):
    t = table("retry=600", "retry=600", settings="timeout=3600 maxattempts=4", expected=BACKEND_IS_DOWN)
    for node in t.nodes:
        node.stop()
    for way in ("stock", *RESOLVERS):
        before = sum(t.attempts(node) for node in t.nodes)
        assert t.server.curl(f"/{way}/").status == 503
        assert sum(t.attempts(node) for node in t.nodes) - before == 5


@EVERY_REQUEST
@pytest.mark.parametrize("retry", ["retry=0", "retry=600"])
@pytest.mark.parametrize("dead", [1, 2], ids=["one dead", "two dead"])
def test_no_request_is_lost_to_dead_members(table, cookie, retry, dead):
    t = table(*[retry] * 3, expected=BACKEND_IS_DOWN)
    for node in t.nodes[:dead]:
        node.stop()
    for way in RESOLVERS:
        for n in range(6):
            before = [t.attempts(node) for node in t.nodes]
            answer, _ = t.ask_one(way, cookie=cookie and cookie.replace("x", f"x{n}"))
            assert answer.status == 200 and answer.body not in {node.name for node in t.nodes[:dead]}
            tried = [t.attempts(node) - then for node, then in zip(t.nodes, before)]
            assert max(tried) <= 1, "no member is tried twice in one request"
    answer = t.ask(cookie="JSESSIONID=x.node1")
    assert (answer.status, answer.affinity) == (200, "failover")


@pytest.mark.parametrize("method", [["--request", "PUT"], ["--data", "a=b"], ["--head"], ["--request", "OPTIONS"]],
                         ids=["PUT", "POST", "HEAD", "OPTIONS"])
def test_no_request_is_lost_whatever_its_method(table, method):
    t = table("retry=0", "retry=0", expected=BACKEND_IS_DOWN)
    t.nodes[0].stop()
    answer = t.ask("", *method, cookie="JSESSIONID=x.node1")
    assert (answer.status, answer.affinity, answer.worker) == (200, "failover", t.nodes[1].url)
    assert {request[0] for request in t.nodes[1].requests} <= {"PUT", "POST", "HEAD", "OPTIONS"}


def test_a_dead_member_with_retry_0_serves_its_sessions_as_soon_as_it_is_back(table):
    t = table("retry=0", "retry=0", expected=BACKEND_IS_DOWN)
    t.nodes[0].stop()
    assert t.ask(cookie="JSESSIONID=x.node1").affinity == "failover"
    t.nodes[0].start()
    answer = t.ask(cookie="JSESSIONID=x.node1")
    assert (answer.body, answer.affinity) == ("backend1", "route")


def test_a_member_in_error_is_left_alone_until_retry_is_over(table):
    t = table("retry=600", "retry=600", expected=BACKEND_IS_DOWN)
    t.nodes[0].stop()
    assert t.ask(cookie="JSESSIONID=x.node1").affinity == "failover"
    t.nodes[0].start()
    for _ in range(3):
        answer = t.ask(cookie="JSESSIONID=x.node1")
        assert (answer.body, answer.affinity) == ("backend2", "failover")
    assert t.names(4) == ["backend2"] * 4
    assert t.nodes[0].requests == []


def test_a_member_that_ignores_errors_keeps_its_sessions_while_it_is_dead(table):
    """status=+I: mod_proxy never takes it for unusable, and so does not look for another."""
    t = table("status=+I", "", expected=BACKEND_IS_DOWN)
    t.nodes[0].stop()
    for _ in range(2):
        answer = t.ask(cookie="JSESSIONID=x.node1")
        assert (answer.status, answer.affinity) == (503, "route")
        assert t.server.curl("/stock/", cookie="JSESSIONID=x.node1").status == 503
    t.nodes[0].start()
    answer = t.ask(cookie="JSESSIONID=x.node1")
    assert (answer.status, answer.body, answer.affinity) == (200, "backend1", "route")


def in_lbset_order(number):
    """Members of which each is asked only when those before it have failed."""
    return [f"lbset={i} retry=600" for i in range(number)]


@pytest.mark.parametrize("maxattempts, tried, status", [
    ("", 3, 200),
    ("maxattempts=3", 3, 200),
    ("maxattempts=2", 3, 503),
    ("maxattempts=1", 2, 503),
    ("maxattempts=0", 1, 503),
])
@EVERY_REQUEST
def test_maxattempts_is_how_many_members_more_are_tried(table, cookie, maxattempts, tried, status):
    t = table(*in_lbset_order(4), settings=maxattempts, expected=BACKEND_IS_DOWN)
    for node in t.nodes[:3]:
        node.stop()
    for way in (*RESOLVERS, "stock"):
        before = [t.attempts(node) for node in t.nodes]
        answer, _ = t.ask_one(way, cookie=cookie)
        assert answer.status == status
        assert [t.attempts(node) - then for node, then in zip(t.nodes, before)] == [1] * tried + [0] * (4 - tried)


@pytest.mark.parametrize("settings", ["", "forcerecovery=Off"])
@pytest.mark.parametrize("retry", ["retry=0", "retry=600"])
@EVERY_REQUEST
def test_no_member_is_tried_twice_in_one_request_however_many_attempts_are_allowed(table, cookie, retry, settings):
    t = table(retry, retry, settings=f"maxattempts=9 {settings}", expected=BACKEND_IS_DOWN + NOBODY_CAN_SERVE)
    for node in t.nodes:
        node.stop()
    for way in RESOLVERS:
        before = [t.attempts(node) for node in t.nodes]
        assert t.ask_one(way, cookie=cookie)[0].status == 503
        assert [t.attempts(node) - then for node, then in zip(t.nodes, before)] == [1, 1]


def test_members_are_all_tried_again_when_all_are_in_error(table):
    """forcerecovery=On, which is the default: the error of the last resort does not count."""
    t = table("retry=600", "retry=600", expected=BACKEND_IS_DOWN + NOBODY_CAN_SERVE)
    for node in t.nodes:
        node.stop()
    assert t.ask(cookie="JSESSIONID=x.node2").status == 503
    for node in t.nodes:
        node.start()
    answer = t.ask(cookie="JSESSIONID=x.node2")
    assert (answer.status, answer.body, answer.affinity) == (200, "backend2", "route")


@pytest.mark.parametrize("cookie, affinity", [(None, "new"), ("JSESSIONID=x", "hash"), ("JSESSIONID=x.node1", "route")],
                         ids=["new", "hash", "route"])
def test_timeout_is_how_long_a_request_waits_for_a_member_that_can_serve(table, cookie, affinity):
    t = table("status=+D", settings="timeout=20", log_level="info lbmethod_sticky:debug authz_core:debug")
    with ThreadPoolExecutor(1) as threads:
        for way in RESOLVERS:
            begun = t.server.log().count("AH01628")  # mod_authz_core has let a request pass
            waiting = threads.submit(t.ask_one, way, cookie=cookie)
            wait_until(lambda: t.server.log().count("AH01628") > begun, "the request has come")
            t.server.manager(way, worker=t.nodes[0].url, w_status_D="0")
            answer, log = waiting.result()
            assert (answer.status, answer.body, answer.affinity) == (200, "backend1", affinity)
            assert len(log) == 1


# -- failonstatus=, mod_proxy_hcheck ----------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", ["failonstatus=500", "failonstatus=502,500"])
def test_a_session_leaves_a_member_that_answers_with_failonstatus(table, settings):
    t = table("retry=600", "retry=600", settings=settings, expected=[r"AH01174: .*matching 'failonstatus'"])
    t.nodes[0].status = 500
    for way in (*RESOLVERS, "stock"):
        assert t.server.curl(f"/{way}/", cookie="JSESSIONID=x.node1").status == 500
    t.nodes[0].status = 200
    answer = t.ask(cookie="JSESSIONID=x.node1")
    assert (answer.status, answer.body, answer.affinity) == (200, "backend2", "failover")
    assert t.names(2) == ["backend2"] * 2
    assert t.server.curl("/stock/", cookie="JSESSIONID=x.node1").body == "backend2"


def test_a_session_stays_with_a_member_whose_bad_answers_are_not_failonstatus(table):
    t = table("", "", settings="failonstatus=503")
    t.nodes[0].status = 500
    for _ in range(2):
        answer = t.ask(cookie="JSESSIONID=x.node1")
        assert (answer.status, answer.affinity, answer.worker) == (500, "route", t.nodes[0].url)


def test_a_member_that_fails_its_health_check_loses_its_sessions_and_gets_them_back(table):
    check = "hcmethod=GET hcuri=/health hcexpr=well hcinterval=100ms hcpasses=1 hcfails=1"
    t = table(check, check, check, modules=["proxy_hcheck"], expected=BACKEND_IS_DOWN, before="""
ProxyHCExpr well {%{REQUEST_STATUS} =~ /^[23]/}
ProxyHCTPSize 4
""")

    def where(way):
        answer = t.server.curl(f"/{way}/", cookie="JSESSIONID=x.node1")
        return answer.status, answer.body, answer.affinity

    assert where("httpd") == where("module") == (200, "backend1", "route")
    t.nodes[0].status = 500  # it still answers, and mod_proxy has nothing against it
    for way in RESOLVERS:
        wait_until(lambda: where(way)[2] == "failover", "the session has left")
    answer = t.ask(cookie="JSESSIONID=x.node1")
    assert answer.status == 200 and answer.body in ("backend2", "backend3")
    for way in (*RESOLVERS, "stock"):
        wait_until(lambda: set(t.server.bodies(6, path=f"/{way}/")) == {"backend2", "backend3"}, "it gets no new ones")

    t.nodes[0].status = 200
    for way in RESOLVERS:
        wait_until(lambda: where(way) == (200, "backend1", "route"), "the session is back")
    assert t.ask(cookie="JSESSIONID=x.node1").affinity == "route"


# -- What is counted --------------------------------------------------------------------------------------------------


def test_both_resolvers_count_the_same(table):
    """The counts stand in the log when httpd is restarted."""
    t = table("", "status=+D", "", "retry=600", expected=BACKEND_IS_DOWN)
    t.nodes[3].stop()
    for cookie in (None, None, None, "JSESSIONID=x", "JSESSIONID=x.gone", "JSESSIONID=x.node1", "JSESSIONID=x.node2",
                   "JSESSIONID=x.node3", "JSESSIONID=x.node4", "JSESSIONID=x.node4"):
        t.ask(cookie=cookie)
    t.server.graceful()
    for way in RESOLVERS:
        last = re.findall(rf"balancer://{way}: sticky; requests so far by affinity: (.*)", t.server.log())[-1]
        assert last == "cookie 0, route 2, learned 0, hash 2, new 3, failover 3, overload 0, refused 0"


def test_a_request_within_a_request_has_variables_of_its_own(httpd, cleanup, open_folder):
    """A page by the rotation includes one of a session: it hands its variables down, but that session has not moved."""
    told = []

    class Part(FastCgi):
        def handle(self):
            super().handle()
            told.append(self.server.requests[-1])

    (open_folder / "page").write_text('<!--#include virtual="/part?JSESSIONID=1.node2" -->')
    pages = httpd(f'DocumentRoot "{open_folder}"\nForceType text/html\n')
    parts = [f"fcgi://127.0.0.1:{port} route=node{n}" for n, port in enumerate(two_responders(Part, cleanup), 1)]
    sessions = dict(more="LBStickySession JSESSIONID")
    server = httpd("<Location />\nSetOutputFilter INCLUDES\nOptions +Includes\n</Location>\n"
                   + cluster(*parts, name="parts", path="/part", **sessions) + cluster(pages.url, **sessions),
                   modules=["include", "proxy_fcgi"])
    answer = server.curl("/page")
    assert (answer.affinity, answer.route_changed, answer.body) == ("new", "1", "backend2")
    wait_until(lambda: told, "the part was asked for")
    assert b"BALANCER_AFFINITYroute" in told[0]
    assert b"BALANCER_ROUTE_CHANGED" not in told[0]
