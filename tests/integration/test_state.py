"""What stickiness does, told by balancer-manager, lbsticky-status and mod_status: exact, everywhere the same, safe."""

import collections
import concurrent.futures
import html.parser
import json
import pathlib
import re
import subprocess
import time
import xml.etree.ElementTree

import pytest

from server import BACKEND_IS_DOWN, MANAGER, STATUS, by_either, cluster, free_port, wait_until, with_routes
from test_graceful_restart import restart

SESSION = "JSESSIONID=12345"
OWN = "lbsticky_mycluster"
UNAVAILABLE = [r"All workers are in error state"]
SERVER_STATUS = """
ProxyPass /server-status !
<Location "/server-status">
    SetHandler server-status
</Location>
"""
THOUSAND = [f"http://10.0.{number // 250}.{number % 250 + 1}:8080 route=node{number}" for number in range(1000)]
PANEL = re.compile(r"<div class='lbsticky'>\n.*?</table>\n</div>\n", re.DOTALL)
XML_PANEL = re.compile(r"  <httpd:sticky>.*?</httpd:sticky>\n    ", re.DOTALL)
# Of which mod_status tells how many members have them.
STATES = ["draining", "recovering", "probing", "drained"]
# Columns of the panel, between which the affinities stand and the requests that were moved away.
STATUS_COLUMN, NEW_SHARE, LAST_STICKY, MOVED_AWAY, ROUTE, COOKIE_VALUE = 1, 5, 6, 7, 15, 16
AFFINITIES = slice(8, 15)
TAG = "{http://httpd.apache.org}"


def members_of(backends, options="retry=600"):
    return with_routes(backends, options)


def requests_in(report):
    """{(affinity, route of the member): number}, without those that are 0; "gone" for members that are no more."""
    members = [*report["workers"], {"route": "gone", **report["gone"]}]
    return {(affinity, member["route"]): number for member in members for affinity, number in member["requests"].items()
            if number}


def moved_in(report):
    return {member["route"]: member["moved_away"] for member in report["workers"] if member["moved_away"]}


def sums_in(report):
    """{affinity: number of requests}, without those that are 0."""
    sums = collections.Counter({"refused": report["refused"]})
    for (affinity, _), number in requests_in(report).items():
        sums[affinity] += number
    return {affinity: number for affinity, number in sums.items() if number}


def counts_in(report):
    """All that was counted in it."""
    return (requests_in(report), moved_in(report), *(report[key] for key in (
        "refused", "cookies_issued", "cookies_unknown", "cookies_outdated", "ids_too_long",
        "unknown_routes")))


# -- counts are exact ---------------------------------------------------------------------------------------------

# The affinity that a request has, its path and its cookie, and how many of them there are in a thousand.
MIX = [
    ("cookie", "/", f"{OWN}=.node1", 150),
    ("route", "/", f"{SESSION}.node2", 250),
    ("hash", "/", "JSESSIONID=123456", 100),  # whose member answers
    ("new", "/", None, 300),
    ("failover", "/", f"{SESSION}.node3", 80),   # which is disabled
    ("failover", "/", f"{OWN}=.node4", 70),      # which does not answer
    ("refused", "/strict", f"{SESSION}.node3", 50),
]


@pytest.fixture
def busy(httpd):
    """A server of four processes before members that answer at full speed, and what it was asked so far.

    Members keep no connections open: a busy httpd closes idle ones early, which would be a 502 now and then.
    """
    answering, dead = [free_port() for _ in range(4)], free_port()
    hosts = "".join(f"Listen 127.0.0.1:{port}\n<VirtualHost 127.0.0.1:{port}>\nRedirect 204 /\n</VirtualHost>\n"
                    for port in answering)
    httpd(f"{hosts}KeepAlive Off", mpm="event", log_level="warn")
    one, two, disabled, later = (f"http://127.0.0.1:{port}" for port in answering)
    members = [f"{one} route=node1", f"{two} route=node2", f"{disabled} route=node3 status=+D",
               f"http://127.0.0.1:{dead} route=node4 retry=600"]
    strict = cluster(members[0], members[2], settings="lbmethod=sticky nofailover=On", name="strict", path="/strict",
                     more="LBStickySession JSESSIONID")
    other = cluster(*members, settings="lbmethod=sticky growth=1", more="LBStickySession JSESSIONID")
    configuration = STATUS + strict + other
    return Busy(httpd(configuration, processes=4, expected=BACKEND_IS_DOWN + UNAVAILABLE), configuration, later)


class Busy:
    def __init__(self, server, configuration, later):
        self.server = server
        self.configuration = configuration
        self.later = later  # a member that the manager may add
        self.thousands = 0  # how often it was asked what is in MIX

    def load(self, affinity, path, cookie, count):
        """Makes so many requests and sees that each is answered as it should be."""
        codes = self.server.parallel(count, cookie=cookie, path=path, at_once=4)
        assert codes == [503 if affinity == "refused" else 204] * count

    def mixed_load(self, thousands):
        """So many times what is in MIX, all at once; again, until every process has served."""
        def once():
            with concurrent.futures.ThreadPoolExecutor(len(MIX)) as clients:
                list(clients.map(lambda kind: self.load(*kind[:3], kind[3] * thousands), MIX))
            return [thousands]
        self.thousands += sum(self.server.in_every_process(once))

    def check(self, **added):
        """That everything was counted that was sent: MIX, and of each affinity what was added."""
        sent = collections.Counter(added)
        for affinity, _, _, count in MIX:
            sent[affinity] += count * self.thousands
        mine, strict = self.server.report(), self.server.report("strict")
        requests = requests_in(mine)
        assert {**sums_in(mine), **sums_in(strict)} == sent
        assert requests["cookie", "node1"] == 150 * self.thousands
        assert requests["route", "node2"] == 250 * self.thousands
        assert moved_in(mine) == {"node3": 80 * self.thousands, "node4": 70 * self.thousands}
        assert moved_in(strict) == {"node3": 50 * self.thousands}
        assert [mine[key] for key in ("unknown_routes", "cookies_issued", "cookies_unknown")] == [
            100 * self.thousands, 100 * self.thousands, 0]


def test_ten_thousand_mixed_requests_over_four_processes_are_counted_exactly(busy):
    busy.mixed_load(10)
    busy.check()


def test_a_graceful_restart_loses_no_count(busy):
    busy.mixed_load(1)
    restart(busy.server, busy.configuration)
    busy.check()
    busy.mixed_load(1)
    busy.check()


def test_a_member_that_is_added_is_counted_like_the_others(busy):
    busy.mixed_load(1)
    busy.server.manager("mycluster", b_wyes="1", b_nwrkr=busy.later)
    busy.server.manager("mycluster", busy.later, w_status_D="0", w_wr="node5")
    busy.load("route", "/", f"{SESSION}.node5", 200)
    busy.mixed_load(1)
    busy.check(route=200)
    assert requests_in(busy.server.report())["route", "node5"] == 200
    restart(busy.server, busy.configuration)
    busy.check(route=200)
    assert requests_in(busy.server.report())["route", "gone"] == 200


def test_the_counts_of_a_member_that_is_removed_are_kept_as_gone(httpd, backends):
    members = members_of(backends(3))
    server = httpd(STATUS + cluster(*members))
    server.bodies(4, cookie=f"{OWN}=.node2")
    restart(server, STATUS + cluster(members[0], members[2]))
    assert requests_in(server.report()) == {("cookie", "gone"): 4}
    restart(server, STATUS + cluster(*members))  # as a new one: counts of those that are gone never go down
    server.bodies(1, cookie=f"{OWN}=.node2")
    assert requests_in(server.report()) == {("cookie", "node2"): 1, ("cookie", "gone"): 4}


def test_the_counts_of_very_many_members_that_were_removed_are_kept(httpd, backends):
    members = members_of(backends(3))
    others = [f"http://127.0.0.1:{number + 1} route=other{number} status=+D" for number in range(400)]
    settings = "lbmethod=sticky stickysession=JSESSIONID"
    server = httpd(STATUS + cluster(*members, *others, settings=settings))
    server.bodies(4, cookie=f"{OWN}=.node2")
    server.bodies(3, cookie=f"{OWN}=.node3; {SESSION}")
    for left in ([members[0], *others], [members[0]], [members[0]]):
        restart(server, STATUS + cluster(*left, settings=settings))
        report = server.report()
        assert requests_in(report) == {("cookie", "gone"): 7} and report["unknown_routes"] == 3


# -- what is counted ----------------------------------------------------------------------------------------------

# The cookies of requests, one each (None: none), to three members of which the third is disabled; what is counted
# beside the requests: moved away from it, refused, cookies given, cookies not understood, ids without a known route.
COUNTED = {
    "nothing": ([], (0, 0, 0, 0, 0)),
    "no session": ([None] * 4, (0, 0, 0, 0, 0)),
    "route": ([f"{SESSION}.node1"] * 2 + [f"{SESSION}.node2"] * 3, (0, 0, 0, 0, 0)),
    "own cookie": ([f"{OWN}=.node1"] * 3 + [f"{OWN}=node2"], (0, 0, 0, 0, 0)),
    "own cookie and route": ([f"{OWN}=.node1; {SESSION}.node2"] * 2, (0, 0, 0, 0, 0)),
    "id": ([SESSION] * 3, (0, 0, 3, 0, 3)),
    "id and own cookie": ([f"{SESSION}; {OWN}=.node1"] * 3, (0, 0, 0, 0, 3)),
    "unknown route": ([f"{SESSION}.node9"] * 2, (0, 0, 2, 0, 2)),
    "unknown cookie": ([f"{OWN}=.node9"] * 3, (0, 0, 0, 3, 0)),
    "unknown cookie and route": ([f"{OWN}=.node9; {SESSION}.node8"] * 2, (0, 0, 2, 2, 2)),
    "route of the disabled": ([f"{SESSION}.node3"] * 5, (5, 0, 0, 0, 0)),
    "own cookie of the disabled": ([f"{OWN}=.node3"] * 2, (2, 0, 0, 0, 0)),
    "own cookie, and route of the disabled": ([f"{OWN}=.node1; {SESSION}.node3"] * 2, (2, 0, 0, 0, 0)),
    "id and own cookie of the disabled": ([f"{SESSION}; {OWN}=.node3"] * 2, (2, 0, 2, 0, 2)),
}


def counts_beside_requests(report):
    return (moved_in(report).get("node3", 0),
            *(report[key] for key in ("refused", "cookies_issued", "cookies_unknown", "unknown_routes")))


@pytest.fixture
def site(httpd, backends):
    """site(resolver, more settings): three members, the third of them disabled."""
    def start(resolver, settings="", **options):
        members = members_of(backends(3))
        members[2] += " status=+D"
        resolver = {**resolver, "settings": f"{resolver['settings']} {settings}"}
        return httpd(STATUS + SERVER_STATUS + cluster(*members, **resolver), **options)
    return start


@by_either
@pytest.mark.parametrize("cookies, beside", COUNTED.values(), ids=COUNTED)
def test_each_request_is_counted_where_it_was_served_and_for_what_it_was(site, resolver, cookies, beside):
    server = site(resolver)
    answers = [server.curl(cookie=cookie) for cookie in cookies]
    report = server.report()
    assert requests_in(report) == collections.Counter((answer.affinity, answer.route) for answer in answers)
    assert counts_beside_requests(report) == beside
    assert report["cookies_issued"] == sum(answer.header("Set-Cookie") is not None for answer in answers)


@by_either
def test_what_is_refused_is_counted_as_that_and_as_moved_away_and_for_no_member(site, resolver):
    server = site(resolver, "nofailover=On", expected=UNAVAILABLE)
    for cookie in (f"{SESSION}.node3", f"{OWN}=.node3", f"{SESSION}.node3"):
        assert server.curl(cookie=cookie).status == 503
    report = server.report()
    assert requests_in(report) == {} and counts_beside_requests(report) == (3, 3, 0, 0, 0)


@by_either
@pytest.mark.parametrize("cookie", [None, SESSION, f"{SESSION}.node1", f"{OWN}=.node1"],
                         ids=["no session", "id", "route", "own cookie"])
def test_a_request_whose_first_member_does_not_answer_is_counted_once_where_it_was_served(
        httpd, backends, resolver, cookie):
    members = backends(2)
    server = httpd(STATUS + cluster(*members_of(members, "retry=0"), **resolver), expected=BACKEND_IS_DOWN)
    first = server.curl(cookie=cookie)
    before = server.report()["unknown_routes"]
    members[int(first.route.removeprefix("node")) - 1].stop()
    answers = [server.curl(cookie=cookie) for _ in range(6)]
    assert {answer.status for answer in answers} == {200}
    assert len(re.findall(r"AH00957: .*attempt to connect", server.log())) > 1
    report = server.report()
    assert requests_in(report) == collections.Counter((answer.affinity, answer.route) for answer in [first, *answers])
    # Its next requests count as moved, too, as long as their session or its id says that they are this member's.
    assert moved_in(report) == ({first.route: 6} if cookie else {})
    assert report["unknown_routes"] == 7 * before


@by_either
def test_a_request_that_nobody_can_serve_is_counted_for_no_member(httpd, backends, resolver):
    server = httpd(STATUS + cluster(*members_of(backends(2), "status=+D"), **resolver), expected=UNAVAILABLE)
    assert [server.curl(cookie=cookie).status for cookie in (None, SESSION, f"{SESSION}.node1")] == [503] * 3
    report = server.report()
    assert sums_in(report) == {} and moved_in(report) == {"node1": 1} and report["unknown_routes"] == 1


def ages_in(report):
    return {worker["route"]: worker["last_sticky_request_age_seconds"] for worker in report["workers"]}


@by_either
@pytest.mark.parametrize("cookie", [SESSION, f"{SESSION}.node2", f"{OWN}=.node2"], ids=["id", "route", "own cookie"])
def test_only_a_sticky_request_is_one_that_a_draining_member_waits_for(site, resolver, cookie):
    server = site(resolver)
    server.bodies(4)
    server.bodies(2, cookie=f"{SESSION}.node3")  # fails over
    assert ages_in(server.report()) == {"node1": None, "node2": None, "node3": None}
    before = time.monotonic()
    served = server.curl(cookie=cookie).route
    age = ages_in(server.report()).pop(served)
    assert 0 <= age <= time.monotonic() - before
    assert [age is None for route, age in ages_in(server.report()).items() if route != served] == [True, True]


# -- balancer-manager ---------------------------------------------------------------------------------------------

def several(method, backends, count=2, more=""):
    """Balancers that share backends, the second of which always has another method."""
    members = members_of(backends)
    unasked = [f"http://127.0.0.1:{port}" for port in range(40000, 40000 + count - len(members))]
    return (STATUS + SERVER_STATUS + more
            + cluster(*members, name="one", path="/one", settings=f"lbmethod={method} nonce=1")
            + cluster(*members[:1], name="two", path="/two", settings="lbmethod=bybusyness nonce=2")
            + cluster(*members, *unasked, name="three", path="/three", settings=f"lbmethod={method} nonce=3")
            + cluster(*members[::-1], name="four", settings=f"lbmethod={method} nonce=4"))


def pages_of(server, member):
    """The page of balancer-manager, alone, with each of its forms open, and what HEAD gets."""
    referer = "--referer", f"{server.url}/balancer-manager"
    head = server.curl("/balancer-manager", "--head", *referer)
    return [server.manager_page(query) for query in (
        "", f"?b=one&w={member}&nonce=1", f"?b=two&w={member}&nonce=2", "?b=two&nonce=2", "?b=four&nonce=4")] + [
        [head.status, head.body, *(header for header in head.headers if header[0] != "Date")]]


def by_balancer(page):
    """{balancer: its part of the page}"""
    parts = re.split(r"<hr />\n(?=<h3>LoadBalancer Status)|<hr />\n(?=<h3>Edit |</body>)", page)
    return {name[0]: part for part in parts if (name := re.findall(r"<h3>LoadBalancer .*>balancer://(\w+)<", part))}


def as_sticky(page):
    """Stock httpd's page with the other name of the method: in the tables, and in the form of balancer four."""
    page = page.replace("<td>byrequests</td>", "<td>sticky</td>")
    if "<h3>Edit balancer settings for balancer://four</h3>" in page:
        page = page.replace("'byrequests' selected >", "'byrequests'>").replace("'sticky'>", "'sticky' selected >")
    return page


HEALTH = "ProxyHCExpr fine {%{REQUEST_STATUS} =~ /^2/}\n"


@pytest.mark.parametrize("count, more", [(2, ""), (2, HEALTH), (1000, "")],
                         ids=["few", "health checks", "1,000 members"])
def test_without_its_panels_the_page_is_that_of_stock_httpd_byte_for_byte(httpd, backends, count, more):
    members = backends(2)
    server = httpd(several("sticky", members, count, more), modules=["lbmethod_bybusyness", "proxy_hcheck"])
    ours = pages_of(server, members[0].url)
    restart(server, several("byrequests", members, count, more))
    stock = pages_of(server, members[0].url)
    for our, theirs in zip(ours[:-1], stock[:-1], strict=True):
        assert len(PANEL.findall(our)) == 3
        assert PANEL.sub("", our) == as_sticky(theirs)
    assert ours[-1] == stock[-1]


def test_with_1000_members_the_page_is_at_most_twice_as_long_as_that_of_stock_httpd(httpd):
    settings = "lbmethod={} stickysession=JSESSIONID nonce=1"
    server = httpd(cluster(*THOUSAND, settings=settings.format("sticky")))
    ours = [server.manager_page(), server.manager_page("?xml=1")]
    restart(server, cluster(*THOUSAND, settings=settings.format("byrequests")))
    stock = [server.manager_page(), server.manager_page("?xml=1")]
    assert len(rows_of(ours[0])) == 1000
    assert [our.count("\n") > 1000 and len(our) / len(their) <= 2 for our, their in zip(ours, stock)] == [True, True]


def test_a_panel_stands_under_each_balancer_with_this_method_and_has_its_members(httpd, backends):
    server = httpd(several("sticky", backends(3), 1000), modules=["lbmethod_bybusyness"])
    parts = by_balancer(server.manager_page())
    assert list(parts) == ["one", "two", "three", "four"]
    for name, part in parts.items():
        rows = [row[0] for row in rows_of(part)]
        assert rows == ([] if name == "two" else re.findall(r"w=(.*?)&amp;nonce", part))
        assert len(rows) == {"one": 3, "two": 0, "three": 1000, "four": 3}[name]
    assert [part.count("<style>") for part in parts.values()] == [1, 0, 0, 0]


def test_the_panel_follows_the_method_that_the_manager_sets(httpd, backends):
    server = httpd(several("sticky", backends(2)), modules=["lbmethod_bybusyness"])

    def with_panel():
        return [name for name, part in by_balancer(server.manager_page()).items() if PANEL.search(part)]

    server.manager("one", b_lbm="byrequests")
    assert with_panel() == ["three", "four"]
    server.manager("two", b_lbm="byrequests")
    server.manager("one", b_lbm="sticky")
    assert with_panel() == ["one", "three", "four"]


def test_the_answer_to_a_change_has_the_panels_too(httpd, backends):
    server = httpd(several("sticky", backends(2)), modules=["lbmethod_bybusyness"])
    page = server.manager("one", list(server.state("one"))[1], w_status_N="1").body
    assert len(PANEL.findall(page)) == 3
    [drain] = re.findall(r"<td>draining for \d+ s<td>", page)
    assert drain in by_balancer(page)["one"]


def test_a_page_that_is_compressed_is_the_same(httpd, backends):
    deflate = '<Location "/balancer-manager">\nSetOutputFilter DEFLATE\n</Location>\n'
    server = httpd(several("sticky", backends(2), 300, deflate), modules=["lbmethod_bybusyness", "deflate", "filter"])
    referer = "--referer", f"{server.url}/balancer-manager"
    compressed = server.curl("/balancer-manager", "--compressed", *referer)
    assert compressed.header("Content-Encoding") == "gzip"
    assert compressed.body == server.manager_page() and len(PANEL.findall(compressed.body)) == 3


# -- the same in all forms ----------------------------------------------------------------------------------------

class Texts(html.parser.HTMLParser):
    """The tags of a page with their attributes, and the texts between them."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.texts = [], []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, attributes))

    def handle_data(self, data):
        self.texts.append(data)


def rows_of(panel):
    """The cells of a panel's table, a list a member, those in trouble first."""
    rows = "".join(re.findall(r"<tbody>\n(<tr.*?)</tbody>", panel, re.DOTALL))
    return [row.split("<td>") for row in re.findall(r"<th scope=row>(.*?)</tr>", rows)]


def sums_of(panel):
    """The cells of the row above them."""
    return re.search(r"<tr><th scope=row>(\d+ members?<td>.*)</tr>\n</thead>", panel)[1].split("<td>")


def column_of(page, column):
    """{URL of the member: text}"""
    return {row[0]: re.sub("<.*>", "", row[column]) for row in rows_of(page)}


def test_html_xml_json_metrics_and_mod_status_tell_the_same_numbers(site):
    server = site({"settings": "lbmethod=sticky", "more": "LBStickySession JSESSIONID"})
    for cookies, _ in COUNTED.values():
        for cookie in cookies:
            server.curl(cookie=cookie)
    server.manager("mycluster", list(server.state())[0], w_lf="3")
    report = server.report()
    affinities = "cookie", "route", "learned", "hash", "new", "failover", "overload"
    table = [[*(worker["requests"][affinity] for affinity in affinities), worker["moved_away"]]
             for worker in report["workers"]]
    assert all(any(row[column] for row in table) for column in (0, 1, 3, 4, 5, 7))  # of everything there is something

    page = server.manager_page()
    rows = rows_of(page)
    rows = [*rows[1:], rows[0]]  # the one that is disabled stands first
    assert [[row[0], row[ROUTE]] for row in rows] == [[worker["url"], worker["route"]] for worker in report["workers"]]
    assert [[int(cell) for cell in (*row[AFFINITIES], row[MOVED_AWAY])] for row in rows] == table
    alive = [worker["sessions"] for worker in report["workers"]]
    assert all(alive[:2]) and [int(row[3]) for row in rows] == alive
    sums = sums_of(page)
    assert sums[:2] == ["3 members", "1 disabled, 2 usable"]
    assert [int(cell) for cell in (*sums[AFFINITIES], sums[MOVED_AWAY])] == [sum(column) for column in zip(*table)]
    assert [int(cell) for cell in sums[2:4]] == [0, sum(alive)]
    assert [re.sub("<.*>", "", row[4]) for row in rows] == ["75.0%", "25.0%", "0.0%"]
    assert [worker["weight_ratio"] for worker in report["workers"]] == [0.75, 0.25, 0]
    fresh = [worker["new_sessions_ratio"] for worker in report["workers"]]
    assert [f"{100 * share:.1f}%" for share in fresh] == [re.sub("<.*>", "", row[NEW_SHARE]) for row in rows]

    page = server.manager_page("?xml=1")
    [sticky] = xml.etree.ElementTree.fromstring(page).iter(f"{TAG}sticky")
    for name in ("refused", "cookies_issued", "cookies_unknown", "cookies_outdated", "ids_too_long", "unknown_routes"):
        assert sticky.findtext(TAG + name) == str(report[name])
    assert [member.findtext(f"{TAG}name") for member in sticky.iter(f"{TAG}member")] == list(server.state())
    assert [[int(number.text) for number in (*member.iter(f"{TAG}requests"), member.find(f"{TAG}moved_away"))]
            for member in sticky.iter(f"{TAG}member")] == [[*row[:2], *row[3:]] for row in table]  # nothing is learned
    assert [int(member.findtext(f"{TAG}sessions")) for member in sticky.iter(f"{TAG}member")] == alive

    metrics = server.curl("/lbsticky-status").body
    samples = re.findall(r'^lbsticky_requests_total\{balancer="mycluster",worker="(.*)",affinity="(.*)"\} (\d+)$',
                         metrics, re.MULTILINE)
    assert samples == [(worker["url"], affinity, str(worker["requests"][affinity]))
                       for worker in report["workers"] for affinity in affinities]
    assert re.findall(r"^lbsticky_sessions\{.*\} (\d+)$", metrics, re.MULTILINE) == [str(number) for number in alive]
    shares = re.findall(r"^lbsticky_new_sessions_ratio\{.*\} (\S+)$", metrics, re.MULTILINE)
    assert [float(share) for share in shares] == fresh and 0 < fresh[0] < 1
    assert [member.findtext(f"{TAG}new_sessions") for member in sticky.iter(f"{TAG}member")] == [
        f"{100 * share:.1f}%" for share in fresh]

    sums = [sums_in(report).get(affinity, 0) for affinity in affinities]
    sums += [0, sum(alive), sum(moved_in(report).values())]  # in flight, sessions
    sums += [report[key] for key in ("refused", "cookies_issued", "cookies_unknown", "cookies_outdated")]
    sums += [3, 0]  # members, failing
    sums += [sum(word in worker["status"] for worker in report["workers"]) for word in STATES]
    status = server.curl("/server-status").body
    assert "<tr><td>mycluster</td>" + "".join(f"<td>{number}</td>" for number in [*sums, 0]) + "</tr>" in status
    keys = ["Name", "Cookie", "Route", "Learned", "Hash", "New", "Failover", "Overload", "InFlight", "Sessions",
            "MovedAway", "Refused", "CookiesIssued", "CookiesUnknown", "CookiesOutdated", "Members", "Failing"]
    lines = re.findall(r"^StickyBalancer\[0\](\w+): (.*)$", server.curl("/server-status?auto").body, re.MULTILINE)
    keys += [word.capitalize() for word in STATES]
    assert lines == list(zip(keys, ["mycluster", *map(str, sums)], strict=True))


def test_without_its_own_elements_the_xml_is_that_of_stock_httpd_byte_for_byte(httpd, backends):
    members = backends(2)
    server = httpd(several("sticky", members), modules=["lbmethod_bybusyness"])
    ours = server.manager_page("?xml=1")
    assert xml.etree.ElementTree.fromstring(ours).findall(f"*/{TAG}balancer/{TAG}sticky")
    restart(server, several("byrequests", members))
    stock = server.manager_page("?xml=1").replace(">byrequests<", ">sticky<")
    assert len(XML_PANEL.findall(ours)) == 3 and XML_PANEL.sub("", ours) == stock


def test_nothing_in_the_configuration_can_break_out_of_the_pages(httpd, backends):
    [member] = backends(1)
    name = """<i>"o'&lt"""
    escaped = name.replace('"', '\\"')

    def panel_of(route, path, session):
        server = httpd(STATUS + SERVER_STATUS + cluster(
            f'{member.url} "route={route}"', settings=f'lbmethod=sticky "stickysession={session}"',
            more=f'LBStickyCookie auto "path=/{path}"'))
        [sticky] = xml.etree.ElementTree.fromstring(server.manager_page("?xml=1")).iter(f"{TAG}sticky")
        server.curl("/server-status")
        return Texts(PANEL.search(server.manager_page())[0]), sticky, server.report()

    harmless, _, _ = panel_of("node1", "shop", "sid")
    hostile, sticky, report = panel_of(escaped, escaped, escaped)
    assert hostile.tags == harmless.tags
    assert hostile.texts.count(name) == 2 and any(f"; Path=/{name};" in text for text in hostile.texts)
    assert sticky.findtext(f"{TAG}member/{TAG}route") == name
    assert sticky.findtext(f"{TAG}session") == name
    assert report["workers"][0]["route"] == name and report["sessions"] == [name]


def test_no_page_tells_a_secret_or_a_token(httpd, backends, tmp_path):
    secrets = ["the first secret of all, 32 characters and more", "the other secret of all, 32 characters and more"]
    file = tmp_path / "secrets"
    file.write_text("\n".join(secrets))
    file.chmod(0o600)
    one, two, three = backends(3)
    members = [f"{one.url} route=node1", f"{two.url} route=node2", three.url]
    server = httpd(STATUS + SERVER_STATUS + cluster(*members, more=f"LBStickySecretFile {file}"))
    tokens = {re.search(f"{OWN}=([^;]*)", server.curl().header("Set-Cookie"))[1] for _ in range(3)}
    assert len(tokens) == 3
    for token in tokens:
        assert server.curl(cookie=f"{OWN}={token}").affinity == "cookie"
    pages = [server.manager_page(), server.manager_page("?xml=1"), server.curl("/server-status?auto").body]
    pages += [server.curl(f"/lbsticky-status{query}").body for query in ("", "?format=openmetrics", "?format=json")]
    assert "signed with a secret" in pages[0] and "<httpd:secret>On</httpd:secret>" in pages[1]
    assert server.report()["cookie"]["secret"] is True
    for page in pages:
        assert not [word for word in (*tokens, *secrets, str(file), ".node1", "cookie_value") if word in page]


# -- passwords of members -----------------------------------------------------------------------------------------

def with_password(member, password):
    return member.url.replace("://", f"://bob:{password}@")


def test_a_password_in_a_members_url_is_shown_nowhere(httpd, backends):
    member, other = backends(2)
    server = httpd(STATUS + SERVER_STATUS + cluster(f"{with_password(member, 'hunter2')} route=node1", other.url))
    server.bodies(2)
    shown = with_password(member, "XXXXXXXX")
    pages = [*PANEL.findall(server.manager_page()), *XML_PANEL.findall(server.manager_page("?xml=1")),
             *(server.curl(f"/lbsticky-status?format={name}").body for name in ("prometheus", "openmetrics", "json"))]
    assert len(pages) == 5
    log = "".join(line for line in server.log().splitlines() if "[lbmethod_sticky:" in line)
    assert log.count(f"member {shown}") == 1
    for text in (*pages, log):
        assert shown in text and other.url in text and "hunter2" not in text


def test_members_that_differ_by_their_password_alone_are_told_apart(httpd, backends):
    [member] = backends(1)
    first, second = (with_password(member, password) for password in ("first", "second"))
    server = httpd(STATUS + cluster(first, second, settings="lbmethod=sticky nonce=1"))
    shown = [with_password(member, "XXXXXXXX"), with_password(member, "XXXXXXXX") + "'"]

    def requests():
        return {worker["url"]: worker["requests"]["cookie"] for worker in server.report()["workers"]}

    # Their ids are made from the whole URL.
    _, other = (row[COOKIE_VALUE] for row in rows_of(server.manager_page()))
    assert [server.curl(cookie=f"{OWN}={other}").worker for _ in range(3)] == [second] * 3
    assert requests() == {shown[0]: 0, shown[1]: 3}
    assert len(set(re.findall(r"^lbsticky_worker_busy\{.*\}", server.curl("/lbsticky-status").body, re.MULTILINE))) == 2

    # A member with another password is another member.
    restart(server, STATUS + cluster(first, with_password(member, "third")))
    assert requests() == {shown[0]: 0, shown[1]: 0} and requests_in(server.report()) == {("cookie", "gone"): 3}


# -- SetHandler lbsticky-status -----------------------------------------------------------------------------------

def test_prometheus_finds_nothing_wrong_with_the_metrics(site, backends):
    server = site({"settings": "lbmethod=sticky"})
    for cookies, _ in COUNTED.values():
        for cookie in cookies:
            server.curl(cookie=cookie)
    text = server.curl("/lbsticky-status").body
    check = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True)
    assert (check.returncode, check.stdout, check.stderr) == (0, "", "")
    names = [line.split(" ")[0] for line in text.splitlines() if not line.startswith("#")]
    assert len(names) == len(set(names)) > 50


PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


@pytest.mark.parametrize("accept, kind", [
    (None, PROMETHEUS),
    ("*/*", PROMETHEUS),
    ("text/html", PROMETHEUS),
    ("text/plain", PROMETHEUS),
    ("application/openmetrics-text", OPENMETRICS),
    ("APPLICATION/OpenMetrics-Text ; version=1.0.0", OPENMETRICS),
    ("application/openmetrics-text;version=1.0.0;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1", OPENMETRICS),
    ("text/plain;version=0.0.4;q=0.5, application/openmetrics-text;version=1.0.0;q=0.75", OPENMETRICS),
    ("application/openmetrics-text; q=0.2, text/plain; q=0.3", PROMETHEUS),
    ("application/openmetrics-text;q=0", PROMETHEUS),
    ("application/openmetrics-text;q=0, */*", PROMETHEUS),
])
def test_the_client_says_by_accept_which_text_it_wants(httpd, backends, accept, kind):
    server = httpd(STATUS + cluster(*members_of(backends(2))))
    answer = server.curl("/lbsticky-status", "--header", f"Accept:{f' {accept}' if accept else ''}")
    assert answer.header("Content-Type") == kind
    assert answer.body.endswith("\n# EOF\n") == (kind == OPENMETRICS)
    assert answer.header("Vary") == "Accept" and answer.header("Cache-Control") == "no-store"


@pytest.mark.parametrize("query, status, kind", [
    ("?format=json", 200, "application/json"),
    ("?format=prometheus", 200, PROMETHEUS),
    ("?format=openmetrics", 200, OPENMETRICS),
    ("?other=json", 200, PROMETHEUS),
    ("?format=other", 400, None),
    ("?format=", 400, None),
    ("?format=JSON", 400, None),
])
def test_the_format_can_be_asked_for_in_the_query(httpd, backends, query, status, kind):
    server = httpd(STATUS + cluster(*members_of(backends(2))))
    answer = server.curl(f"/lbsticky-status{query}")
    assert answer.status == status and (kind is None or answer.header("Content-Type") == kind)
    assert ("lbsticky_info" in answer.body or '"version"' in answer.body) == (status == 200)


@pytest.mark.parametrize("query", ["prometheus", "openmetrics", "json"])
def test_of_the_state_of_1000_members_mod_deflate_leaves_less_than_a_tenth(httpd, query):
    deflate = "AddOutputFilterByType DEFLATE text/plain application/openmetrics-text application/json\n"
    server = httpd(STATUS + deflate + cluster(*THOUSAND), modules=["deflate", "filter"])
    path = f"/lbsticky-status?format={query}"
    plain, compressed = server.curl(path), server.curl(path, "--compressed")
    assert compressed.header("Content-Encoding") == "gzip" and plain.header("Content-Encoding") is None
    assert compressed.body == plain.body
    raw = server.curl(path, "--header", "Accept-Encoding: gzip")
    assert raw.header("Content-Encoding") == "gzip" and len(raw.body) * 10 < len(plain.body)
    assert sorted(re.split(r", ?", compressed.header("Vary"))) == ["Accept", "Accept-Encoding"]


def test_json_has_just_the_keys_that_scripts_rely_on(httpd, backends):
    empty = cluster(name="off", path="/off", more="LBStickyCookie off")
    server = httpd(STATUS + empty + cluster(*members_of(backends(2))))
    assert set(json.loads(server.curl("/lbsticky-status?format=json").body)) == {"version", "balancers"}
    report = server.report()
    assert set(report) == {"name", "server", "sessions", "hash", "place", "limits", "cookie", "refused", "cookies_issued",
                           "cookies_unknown", "cookies_outdated", "ids_too_long", "unknown_routes", "learned", "gone",
                           "workers"}
    assert set(report["cookie"]) == {"name", "given", "attributes", "secret"}
    assert set(report["gone"]) == {"requests", "moved_away"}
    assert [set(worker) for worker in report["workers"]] == [
        {"url", "route", "status", "weight_ratio", "new_sessions_ratio", "requests", "moved_away", "busy", "in_flight",
         "sessions", "last_sticky_request_age_seconds", "status_age_seconds", "draining_seconds",
         "drain_deadline_seconds"}] * 2
    assert set(report["workers"][0]["requests"]) == {"cookie", "route", "learned", "hash", "new", "failover", "overload"}
    assert server.report("off")["cookie"] is None and server.report("off")["workers"] == []


def test_the_state_is_only_for_reading(httpd, backends):
    server = httpd(STATUS + cluster(*members_of(backends(2))))
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        answer = server.curl("/lbsticky-status", "--request", method, "--data", "format=json")
        assert answer.status == 405 and "lbsticky_" not in answer.body
        assert "GET" in answer.header("Allow") and method not in answer.header("Allow")
    head = server.curl("/lbsticky-status", "--head")
    assert head.status == 200 and head.body == ""
    assert head.header("Content-Length") == str(len(server.curl("/lbsticky-status").body))


def test_who_may_read_the_state_is_said_by_require(httpd, backends):
    closed = '<Location "/lbsticky-status">\nRequire all denied\n</Location>'
    server = httpd(STATUS + closed + cluster(*members_of(backends(2))), expected=[r"AH01630: client denied"])
    answer = server.curl("/lbsticky-status")
    assert answer.status == 403 and "mycluster" not in answer.body


@pytest.mark.parametrize("path", ["/lbsticky-status", "/lbsticky-status?format=json", "/server-status?auto",
                                  "/balancer-manager"])
def test_reading_the_state_changes_nothing(httpd, backends, path):
    one, two = backends(2)
    server = httpd(STATUS + SERVER_STATUS + cluster(*members_of([one, two], "retry=0")), expected=BACKEND_IS_DOWN)
    two.stop()
    server.bodies(4)
    two.start()

    def state():
        report = server.report()
        return [(worker["status"], worker["weight_ratio"]) for worker in report["workers"]], counts_in(report)

    before = state()
    assert before[0] == [(["usable"], 1), (["in_error"], 0)]
    for _ in range(3):
        assert server.curl(path, "--referer", server.url + path).status == 200
    assert state() == before
    # Its retry= is over: it is back with the next request that is its own.
    assert set(server.bodies(4)) == {"backend1", "backend2"}
    assert state()[0] == [(["usable"], 0.5), (["usable"], 0.5)]


# What is said of member 2 in balancer-manager, the status it then has, in words for machines and for people, and
# everyone's share of new sessions.
@pytest.mark.parametrize("bit, status, phrase, shares", [
    ("N", ["usable", "draining"], r"draining for \d s", [0.5, 0, 0.5]),
    ("D", ["disabled"], r"disabled for \d s", [0.5, 0, 0.5]),
    ("S", ["stopped"], r"stopped for \d s", [0.5, 0, 0.5]),
    ("C", ["unhealthy"], r"failed its health check for \d s", [0.5, 0, 0.5]),
    ("H", ["usable", "standby"], "standby", [0.5, 0, 0.5]),
    ("R", ["usable", "spare"], "spare", [0.5, 0, 0.5]),
    ("I", ["usable"], "usable", [0.333333, 0.333333, 0.333333]),
], ids=["draining", "disabled", "stopped", "health check failed", "hot standby", "hot spare", "ignore errors"])
def test_the_status_of_a_member_is_told_everywhere(httpd, backends, bit, status, phrase, shares):
    members = backends(3)
    server = httpd(STATUS + cluster(*members_of(members)))
    server.manager("mycluster", members[1].url, **{f"w_status_{bit}": "1"})
    workers = server.report()["workers"]
    assert [worker["status"] for worker in workers] == [["usable"], status, ["usable"]]
    assert [worker["weight_ratio"] for worker in workers] == shares
    phrases = column_of(server.manager_page(), STATUS_COLUMN)
    assert re.fullmatch(phrase, phrases.pop(members[1].url)) and set(phrases.values()) == {"usable"}
    page = xml.etree.ElementTree.fromstring(server.manager_page("?xml=1"))
    assert [member.findtext(f"{TAG}status") for member in page.iter(f"{TAG}member")] == [
        "usable", " ".join(status), "usable"]
    metrics = server.curl("/lbsticky-status").body
    assert re.findall(rf'lbsticky_worker_status{{.*"{members[1].url}",status="(\w+)"}} 1', metrics) == status


def new_shares(server):
    """[each member's share of the new sessions since it is what it is], on which all that tell it agree."""
    shares = [worker["new_sessions_ratio"] for worker in server.report()["workers"]]
    texts = [f"{100 * share:.1f}%" for share in shares]
    column = column_of(server.manager_page(), NEW_SHARE)
    assert [column[worker["url"]] for worker in server.report()["workers"]] == texts
    page = xml.etree.ElementTree.fromstring(server.manager_page("?xml=1"))
    assert [member.findtext(f"{TAG}new_sessions") for member in page.iter(f"{TAG}member")] == texts
    metrics = server.curl("/lbsticky-status").body
    assert re.findall(r"^lbsticky_new_sessions_ratio\{.*\} (\S+)$", metrics, re.MULTILINE) == [
        f"{share:.6g}" for share in shares]
    return shares


def status_ages(server):
    """[seconds since each member is what it is, None: since the start], on which all that tell it agree."""
    workers = server.report()["workers"]
    page = xml.etree.ElementTree.fromstring(server.manager_page("?xml=1"))
    metrics = server.curl("/lbsticky-status").body
    ages = [worker["status_age_seconds"] for worker in workers]
    in_xml = [member.findtext(f"{TAG}status_age") for member in page.iter(f"{TAG}member")]
    in_metrics = re.findall(r"^lbsticky_status_age_seconds\{.*\} (\S+)$", metrics, re.MULTILINE)
    assert [age is None for age in ages] == [age is None for age in in_xml] == [age == "+Inf" for age in in_metrics]
    return ages


def test_the_share_of_new_sessions_counts_since_the_member_became_what_it_is(httpd, backends):
    members = backends(3)
    configuration = STATUS + cluster(*members_of(members))
    server = httpd(configuration, processes=3)
    server.bodies(30)
    assert new_shares(server) == [0.333333] * 3 and status_ages(server) == [None] * 3
    server.manager("mycluster", members[0].url, w_status_D="1")
    assert new_shares(server) == [0, 0.333333, 0.333333]
    server.bodies(30)
    assert new_shares(server) == [0, 0.416667, 0.416667]  # of all 60
    server.manager("mycluster", members[0].url, w_status_D="0")
    assert new_shares(server)[0] == 0
    server.in_every_process(lambda: [server.bodies(30)])
    assert abs(new_shares(server)[0] - 0.333333) < 0.02
    assert 0 <= status_ages(server)[0] < 60 and status_ages(server)[1:] == [None] * 2
    before = new_shares(server)

    restart(server, configuration)  # which keeps it
    assert new_shares(server) == before
    [newcomer] = backends(1)
    restart(server, STATUS + cluster(f"{newcomer.url} route=node4", *members_of(members)))  # in other places
    assert new_shares(server) == [0, *before]
    server.bodies(40)
    assert abs(new_shares(server)[0] - 0.25) < 0.03 and status_ages(server)[0] is not None


def test_a_copy_of_a_balancer_counts_its_shares_since_the_other_one_saw_what_became_of_a_member(httpd, backends):
    members = backends(2)
    outside = cluster(*members_of(members, "retry=1"), path="/main")
    ports, hosts = virtual_hosts(MANAGER + STATUS + "ProxyPass / balancer://mycluster/", "a.example", "b.example")
    server = httpd(STATUS + outside + hosts, processes=1, expected=BACKEND_IS_DOWN)
    one, other = (server.at(port) for port in ports)
    one.manager("mycluster", members[1].url, w_lf="9")
    other.bodies(20)
    one.manager("mycluster", members[1].url, w_lf="1")
    other.bodies(1)
    # Of all this the other one sees nothing.
    members[0].stop()
    assert set(one.bodies(4)) == {"backend2"}
    members[0].start()
    wait_until(lambda: "backend1" in one.bodies(2), "it is back")
    other.bodies(20)
    report = server.report(server=f"b.example:{ports[1]}")
    assert sums_in(report) == {"new": 41} and report["workers"][0]["status_age_seconds"] is not None
    assert abs(report["workers"][0]["new_sessions_ratio"] - 0.5) < 0.06


# -- servers and balancers ----------------------------------------------------------------------------------------

def test_httpd_without_such_a_balancer_has_no_section_and_only_a_version(httpd, backends):
    server = httpd(STATUS + SERVER_STATUS + cluster(backends(1)[0].url, settings="lbmethod=byrequests"))
    assert "sticky" not in server.curl("/server-status").body.replace("lbsticky-status", "").lower()
    assert "Sticky" not in server.curl("/server-status?auto").body
    assert json.loads(server.curl("/lbsticky-status?format=json").body)["balancers"] == []
    samples = [line for line in server.curl("/lbsticky-status").body.splitlines() if not line.startswith("#")]
    assert [sample.split("{")[0] for sample in samples] == ["lbsticky_info"]


def virtual_hosts(configuration, *names):
    """(ports, configuration) of virtual hosts with these names, each on a port of its own."""
    ports = [free_port() for _ in names]
    return ports, "".join(f"Listen 127.0.0.1:{port}\n<VirtualHost 127.0.0.1:{port}>\nServerName {name}\n"
                          f"{configuration}\n</VirtualHost>\n" for port, name in zip(ports, names))


def series(server):
    names = [line.split(" ")[0] for line in server.curl("/lbsticky-status").body.splitlines() if line[0] != "#"]
    assert sorted(names) == sorted(set(names))
    return names


@pytest.mark.parametrize("names", [("a.example", "b.example"), ("a.example", "a.example")],
                         ids=["two names", "one name at two ports"])
def test_balancers_of_one_name_in_several_virtual_hosts_are_told_apart(httpd, backends, names):
    members = members_of(backends(2))
    ports, hosts = virtual_hosts(cluster(*members), *names)
    server = httpd(STATUS + SERVER_STATUS + cluster(*members) + hosts)
    server.bodies(2)
    for port, number in zip(ports, (3, 5), strict=True):
        for _ in range(number):
            server.at(port).curl()
    balancers = json.loads(server.curl("/lbsticky-status?format=json").body)["balancers"]
    assert sorted((balancer["name"], sums_in(balancer)["new"]) for balancer in balancers) == [
        ("mycluster", 2), ("mycluster", 3), ("mycluster", 5)]
    assert len({balancer["server"] for balancer in balancers}) == 3
    assert sum('_refused_total{balancer="mycluster"' in name for name in series(server)) == 3
    assert re.findall(r"StickyBalancer.*New: (.*)", server.curl("/server-status?auto").body) in (
        ["2", "3", "5"], ["2", "5", "3"])


@pytest.mark.parametrize("address, name, label", [
    ("*", "one.example", "one.example"),
    ("*", "one.example:81", "one.example:81"),
    ("*:82", "one.example", "one.example:82"),
    ("*:82", "one.example:81", "one.example:81"),
])
def test_a_virtual_host_is_called_by_its_name_and_by_its_port_if_it_has_one(httpd, backends, address, name, label):
    host = f"<VirtualHost {address}>\nServerName {name}\n{STATUS}{cluster(*members_of(backends(1)))}</VirtualHost>\n"
    assert httpd(STATUS + host, expected=["AH00548"]).report(server=label)["name"] == "mycluster"


def test_a_balancer_that_virtual_hosts_inherit_is_told_once_with_all_of_its_requests(httpd, backends):
    ports, hosts = virtual_hosts("", "a.example", "b.example")
    server = httpd(STATUS + SERVER_STATUS + cluster(*members_of(backends(2))) + hosts)
    for port in (server.port, *ports):
        server.at(port).curl()
    assert sums_in(server.report()) == {"new": 3}
    assert sum("_refused_total" in name for name in series(server)) == 1
    assert server.curl("/server-status").body.count("<td>mycluster</td>") == 1
    assert [int(row[12]) for row in rows_of(server.at(ports[0]).manager_page())] in ([1, 2], [2, 1])


@pytest.mark.parametrize("asked, told", [("main", ["main", "a", "b"]), ("a", ["main", "a"]), ("b", ["main", "b"]),
                                         ("htaccess", ["main", "a"]), ("neither", ["main"])])
@pytest.mark.parametrize("query", ["", "?format=json"], ids=["metrics", "json"])
def test_a_virtual_host_tells_of_its_own_balancers_and_the_main_servers_and_of_no_other_hosts(
        httpd, backends, open_folder, asked, told, query):
    members = members_of(backends(2))
    (of_a, of_b), hosts = virtual_hosts(cluster(*members), "a.example", "b.example")
    [neither], other = virtual_hosts("", "c.example")
    (open_folder / ".htaccess").write_text("SetHandler lbsticky-status\n")
    files = f"""
        ProxyPass /files !
        Alias /files {open_folder}
        <Directory {open_folder}>
            AllowOverride All
            Require all granted
        </Directory>
        """
    server = httpd(STATUS + files + cluster(*members) + hosts + other)
    ports = {"main": server.port, "a": of_a, "b": of_b, "htaccess": of_a, "neither": neither}
    path = "/files/state" if asked == "htaccess" else "/lbsticky-status"
    body = server.at(ports[asked]).curl(path + query).body
    if query:
        servers = [balancer["server"] for balancer in json.loads(body)["balancers"]]
    else:
        servers = re.findall(r'^lbsticky_refused_total\{balancer="mycluster"(?:,server="(.*)")?\}', body, re.MULTILINE)
    labels = {"main": "", "a": f"a.example:{of_a}", "b": f"b.example:{of_b}"}
    assert sorted(servers) == [labels[name] for name in told]


def test_mod_status_tells_of_all_hosts_wherever_it_is_asked(httpd, backends):
    (port, _), hosts = virtual_hosts(cluster(*members_of(backends(2))), "a.example", "b.example")
    server = httpd(SERVER_STATUS + hosts)
    for asked in (server, server.at(port)):
        assert len(re.findall(r"^StickyBalancer\[\d\]Name: ", asked.curl("/server-status?auto").body, re.MULTILINE)) == 2
