"""What is changed in balancer-manager is in force for the next request, in every child process."""

import collections
import re
import threading

import pytest

from server import BACKEND_IS_DOWN, RESOLVERS, by_either, cluster, wait_until

SESSION = "JSESSIONID=12345"
UNAVAILABLE = [r"All workers are in error state"]


@pytest.fixture
def site(httpd, backends):
    """site(members, …): a Site with so many members, in a server of three processes."""
    def start(count=3, expected=(), growth=0, **options):
        options = options or RESOLVERS["LBStickySession"]
        members = backends(count)
        lines = [f"{member.url} route=node{n} retry=600" for n, member in enumerate(members, 1)]
        if growth:
            options = {**options, "settings": f"{options['settings']} growth={growth}"}
        return Site(httpd(cluster(*lines, **options), processes=3, expected=expected), members)
    return start


class Site:
    """A server and the members of its balancer, by number from 1 on."""

    def __init__(self, server, members):
        self.server = server
        self.members = members
        self.every_process_serves()  # so that all of them know a state that the test then changes

    def change(self, number=None, **form):
        answer = self.server.manager("mycluster", self.members[number - 1].url if number else None, **form)
        assert answer.status == 200

    def every_process_serves(self, cookie=None, whole=6):
        """[(affinity, number of the member)] of requests one after the other, until each process has had one.

        Their number is a multiple of `whole`.
        """
        before = len(self.server.choices())
        bodies = self.server.in_every_process(lambda: self.server.bodies(whole, cookie=cookie))
        affinities = [affinity for _, affinity, _ in self.server.choices()[before:]]
        return [(affinity, int(body.removeprefix("backend")))
                for affinity, body in zip(affinities, bodies, strict=True)]

    def every_process_answers(self, cookie=None):
        """{(affinity, status code)}, in the same way."""
        before = len(self.server.choices())
        codes = self.server.in_every_process(
            lambda: self.server.bodies(6, "--output", "/dev/null", "--write-out", "%{http_code}\n", cookie=cookie))
        affinities = [affinity for _, affinity, _ in self.server.choices()[before:]]
        return set(zip(affinities, map(int, codes), strict=True))

    def in_turn(self, *numbers):
        """Whether requests without a session reach just these members, each exactly as often as it is named here."""
        served = self.every_process_serves(whole=len(numbers))
        for begin in range(0, len(served), len(numbers)):
            turn = served[begin:begin + len(numbers)]
            assert sorted(turn) == [("new", number) for number in sorted(numbers)], f"{turn} in {served}"
        return True


# -- what is said of a member -------------------------------------------------------------------------------------

@pytest.mark.parametrize("factor, turn", [("2", (1, 2, 2, 3)), ("1.5", (1, 1, 2, 2, 2, 3, 3)), ("3", (1, 2, 2, 2, 3))])
def test_a_load_factor_holds_at_once_in_every_process(site, factor, turn):
    site = site(3)
    site.change(2, w_lf=factor)
    assert site.in_turn(*turn)
    site.change(2, w_lf="1")
    assert site.in_turn(1, 2, 3)


@by_either
def test_a_route_holds_at_once_in_every_process(site, resolver):
    site = site(3, **resolver)
    assert {affinity for affinity, _ in site.every_process_serves(cookie=f"{SESSION}.new")} == {"hash"}
    site.change(2, w_wr="new")
    assert set(site.every_process_serves(cookie=f"{SESSION}.new")) == {("route", 2)}
    assert {affinity for affinity, _ in site.every_process_serves(cookie=f"{SESSION}.node2")} == {"hash"}
    site.change(3, w_wr="node2")
    assert set(site.every_process_serves(cookie=f"{SESSION}.node2")) == {("route", 3)}


@by_either
def test_a_route_that_is_taken_away_holds_at_once_in_every_process(site, resolver):
    site = site(3, **resolver)
    assert set(site.every_process_serves(cookie=f"{SESSION}.node2")) == {("route", 2)}
    site.change(2, w_wr="")
    assert {affinity for affinity, _ in site.every_process_serves(cookie=f"{SESSION}.node2")} == {"hash"}


@by_either
def test_a_redirect_holds_at_once_in_every_process(site, resolver):
    site = site(3, **resolver)
    site.change(1, w_status_D="1")
    for target in (2, 3):
        site.change(1, w_rr=f"node{target}")
        assert set(site.every_process_serves(cookie=f"{SESSION}.node1")) == {("failover", target)}


def test_a_set_holds_at_once_in_every_process(site):
    site = site(3)
    site.change(2, w_ls="1")
    assert site.in_turn(1, 3)
    site.change(1, w_ls="2")
    site.change(3, w_ls="1")
    assert site.in_turn(2, 3)
    site.change(1, w_ls="0")
    assert site.in_turn(1)


# What each bit does to member 2 of three: who then takes turns, and where a session of member 2 goes.
@by_either
@pytest.mark.parametrize("bit, turn, affinity", [
    ("D", (1, 3), "failover"),
    ("S", (1, 3), "failover"),
    ("C", (1, 3), "failover"),
    ("N", (1, 3), "route"),
    ("H", (1, 3), "route"),
    ("R", (1, 3), "route"),
    ("I", (1, 2, 3), "route"),
], ids=["disabled", "stopped", "health check failed", "draining", "hot standby", "hot spare", "ignore errors"])
def test_a_status_bit_holds_at_once_in_every_process(site, resolver, bit, turn, affinity):
    site = site(3, **resolver)

    site.change(2, **{f"w_status_{bit}": "1"})
    assert site.in_turn(*turn)
    session = set(site.every_process_serves(cookie=f"{SESSION}.node2"))
    assert {word for word, _ in session} == {affinity}
    assert {number == 2 for _, number in session} == {affinity == "route"} and len(session) == 1

    site.change(2, **{f"w_status_{bit}": "0"})
    assert site.in_turn(1, 2, 3)
    assert set(site.every_process_serves(cookie=f"{SESSION}.node2")) == {("route", 2)}


def test_a_hot_standby_serves_at_once_when_the_last_other_member_is_disabled(site):
    site = site(3)
    site.change(3, w_status_H="1")
    site.change(1, w_status_D="1")
    assert site.in_turn(2)
    site.change(2, w_status_D="1")
    assert site.in_turn(3)
    site.change(1, w_status_D="0")
    assert site.in_turn(1)


def test_a_hot_spare_stands_in_at_once_for_a_member_that_is_disabled(site):
    site = site(4)
    site.change(3, w_status_R="1")
    site.change(4, w_status_R="1")
    assert site.in_turn(1, 2)
    site.change(1, w_status_D="1")
    assert site.in_turn(2, 3)
    site.change(1, w_status_D="0")
    assert site.in_turn(1, 2)


def test_a_member_in_error_serves_at_once_when_its_errors_are_to_be_ignored(site):
    site = site(2, expected=BACKEND_IS_DOWN)
    site.members[1].stop()
    assert set(site.server.bodies(4)) == {"backend1"}
    assert "Err" in site.server.state()[site.members[1].url]["status"]
    site.members[1].start()
    assert set(site.server.bodies(4)) == {"backend1"}
    site.change(2, w_status_I="1")
    assert site.in_turn(1, 2)


def test_a_balancer_refuses_and_serves_at_once_when_its_members_are_disabled_and_enabled(site):
    site = site(2, expected=UNAVAILABLE)
    site.change(1, w_status_D="1")
    site.change(2, w_status_D="1")
    assert site.every_process_answers() == {("new", 503)}
    site.change(2, w_status_D="0")
    assert site.every_process_answers() == {("new", 200)}


def test_a_member_that_is_added_serves_in_every_process_as_soon_as_it_is_enabled(site, backends):
    site = site(2, growth=2)
    for number in (3, 4):
        site.members += backends(1)
        site.change(b_wyes="1", b_nwrkr=site.members[-1].url)
        assert "Dis" in site.server.state()[site.members[-1].url]["status"]
        assert site.in_turn(*range(1, number))
        site.change(number, w_status_D="0", w_wr=f"node{number}")
        assert site.in_turn(*range(1, number + 1))
        assert set(site.every_process_serves(cookie=f"{SESSION}.node{number}")) == {("route", number)}


# -- what is said of the balancer ---------------------------------------------------------------------------------

def test_a_stickysession_holds_at_once_in_every_process(site):
    site = site(2, settings="lbmethod=sticky")
    assert {affinity for affinity, _ in site.every_process_serves(cookie=f"{SESSION}.node2")} == {"new"}

    site.change(b_ss="JSESSIONID")
    assert set(site.every_process_serves(cookie=f"{SESSION}.node2")) == {("route", 2)}
    held = set(site.every_process_serves(cookie=SESSION))
    assert len(held) == 1 and {affinity for affinity, _ in held} == {"hash"}

    site.change(b_ss="OTHER|other")
    assert {affinity for affinity, _ in site.every_process_serves(cookie=f"{SESSION}.node2")} == {"new"}
    assert set(site.every_process_serves(cookie="OTHER=1.node2")) == {("route", 2)}

    site.change(b_ss="-")
    assert {affinity for affinity, _ in site.every_process_serves(cookie="OTHER=1.node2")} == {"new"}


@by_either
def test_nofailover_holds_at_once_in_every_process(site, resolver):
    site = site(2, expected=UNAVAILABLE, **resolver)
    site.change(2, w_status_D="1")
    assert site.every_process_answers(cookie=f"{SESSION}.node2") == {("failover", 200)}
    site.change(b_sforce="1")
    assert site.every_process_answers(cookie=f"{SESSION}.node2") == {("refused", 503)}
    assert site.every_process_answers(cookie=f"{SESSION}.unknown") == {("hash", 200)}
    site.change(b_sforce="0")
    assert site.every_process_answers(cookie=f"{SESSION}.node2") == {("failover", 200)}


def test_the_method_is_chosen_in_the_drop_down_and_taken_back_at_once_in_every_process(httpd, backends):
    server = httpd(cluster(*(member.url for member in backends(3)),
                           settings="lbmethod=byrequests stickysession=JSESSIONID"),
                   processes=3, log_level="info lbmethod_sticky:debug proxy_balancer:debug")

    def every_process_serves():
        """(bodies, affinities): of the requests of one session, until each process has had one."""
        before = len(server.choices())
        bodies = server.in_every_process(lambda: server.bodies(6, cookie=SESSION), r"\[pid (\d+)[^\n]*AH01172")
        return bodies, [affinity for _, affinity, _ in server.choices()[before:]]

    def shared_out_in_turn(bodies):
        return all(collections.Counter(bodies[n:n + 6]) == {"backend1": 2, "backend2": 2, "backend3": 2}
                   for n in range(0, len(bodies), 6))

    page = server.manager_page()
    link = re.search(r"\?b=mycluster&amp;nonce=[-0-9a-f]+", page).group().replace("&amp;", "&")
    assert re.search(r"<option value='sticky'\s*>sticky", server.manager_page(link))
    bodies, affinities = every_process_serves()
    assert shared_out_in_turn(bodies) and not affinities

    server.manager("mycluster", b_lbm="sticky")
    bodies, affinities = every_process_serves()
    assert len(set(bodies)) == 1 and affinities == ["hash"] * len(bodies)

    server.manager("mycluster", b_lbm="byrequests")
    bodies, affinities = every_process_serves()
    assert shared_out_in_turn(bodies) and not affinities


# -- what balancer-manager shows ----------------------------------------------------------------------------------

def loads(server):
    """Load as the page has it, member by member; the XML must say the same."""
    in_xml = [fields["lbstatus"] for fields in server.state().values()]
    rows = re.findall(r"<td>(-?\d+)</td><td>(-?\d+)</td><td>(-?\d+)</td><td>[^<]*</td><td>[^<]*</td></tr>",
                      server.manager_page())
    assert in_xml == [int(load) for _, _, load in rows]
    return in_xml


@pytest.mark.parametrize("factors, picks", [
    # After so many picks, how many each member is behind its share (ahead: negative), in hundredths.
    ((1, 1), {0: [0, 0], 1: [-50, 50], 2: [0, 0], 3: [-50, 50]}),
    ((1, 1, 1), {0: [0, 0, 0], 1: [-66, 33, 33], 2: [-33, -33, 66], 3: [0, 0, 0]}),
    ((3, 1), {0: [0, 0], 1: [-25, 25], 2: [-50, 50], 3: [25, -25], 4: [0, 0]}),
], ids=str)
def test_load_tells_how_many_picks_the_rotation_owes_a_member(httpd, backends, factors, picks):
    members = [f"{member.url} loadfactor={factor}" for member, factor in zip(backends(len(factors)), factors)]
    server = httpd(cluster(*members, settings="lbmethod=sticky"), processes=3)
    shown = {0: loads(server)}
    for pick in range(1, max(picks) + 1):
        server.bodies(1)
        shown[pick] = loads(server)
    assert {pick: shown[pick] for pick in picks} == picks
    assert all(abs(sum(load)) < len(factors) for load in shown.values())  # hundredths are rounded


def test_load_sums_to_nothing_after_requests_at_once_in_every_process(httpd, backends):
    server = httpd(cluster(*(member.url for member in backends(2)), settings="lbmethod=sticky"), processes=3)
    server.in_every_process(lambda: server.parallel(200))
    assert loads(server) == [0, 0]
    server.bodies(1)
    assert loads(server) == [-50, 50]


def test_sessions_and_members_that_are_out_of_the_rotation_have_no_part_in_load(site):
    site = site(3)
    site.change(3, w_status_D="1")
    site.server.bodies(7, cookie=f"{SESSION}.node2")
    while site.server.choices()[-1][2] != site.members[1].url or site.server.choices()[-1][1] != "new":
        site.server.bodies(1)
    assert loads(site.server) == [0, 0, 0]
    assert site.server.bodies(1) == ["backend1"]
    assert loads(site.server) == [-50, 50, 0]


def test_load_is_true_in_the_page_that_follows_a_change(site):
    site = site(2)
    site.server.bodies(1)
    site.change(1, w_lf="3")
    assert sum(loads(site.server)) == 0
    site.change(2, w_status_D="1")
    assert loads(site.server) == [0, 0]
    site.change(2, w_status_D="0")
    site.change(1, w_lf="1")
    assert sum(map(abs, loads(site.server))) in (0, 100)


# Whichever process shows the page: of those that have not had a request since the change, too.
@pytest.mark.parametrize("before, after, load", [
    ("byrequests", "sticky", [-50, 50]),
    ("sticky", "byrequests", [-100, 100]),
], ids=["to this one", "back to byrequests"])
def test_load_is_that_of_the_method_that_was_chosen(httpd, backends, before, after, load):
    server = httpd(cluster(*(member.url for member in backends(2)), settings=f"lbmethod={before}"), processes=4)
    server.bodies(40)
    server.manager("mycluster", b_lbm=after)
    assert server.bodies(1) == ["backend1"]
    assert [loads(server) for _ in range(20)] == [load] * 20


def test_load_is_true_for_a_member_that_was_added_whichever_process_shows_it(site, backends):
    site = site(2, growth=1)
    site.members += backends(1)
    site.change(b_wyes="1", b_nwrkr=site.members[-1].url)
    site.change(3, w_status_D="0")
    while site.server.bodies(1) != ["backend3"]:
        pass
    assert site.server.bodies(1) == ["backend1"]
    assert [loads(site.server) for _ in range(20)] == [[-66, 33, 33]] * 20


def test_elected_counts_the_requests_that_a_member_was_chosen_for(site):
    site = site(3)
    before = [fields["elected"] for fields in site.server.state().values()]
    site.server.bodies(6)
    site.server.bodies(4, cookie=f"{SESSION}.node2")
    after = [fields["elected"] for fields in site.server.state().values()]
    assert [b - a for a, b in zip(before, after)] == [2, 6, 2]


@pytest.mark.parametrize("cookie", [f"{SESSION}.node2", None], ids=["session", "no session"])
def test_busy_counts_the_requests_that_a_member_is_working_on(site, cookie):
    site = site(2)
    site.server.bodies(1)  # the second member's turn
    member = site.members[1]
    member.gate.clear()
    request = threading.Thread(target=lambda: site.server.curl(cookie=cookie))
    request.start()
    wait_until(lambda: [fields["busy"] for fields in site.server.state().values()] == [0, 1], "it is busy")
    member.gate.set()
    request.join()
    wait_until(lambda: [fields["busy"] for fields in site.server.state().values()] == [0, 0], "it is not busy any more")


def test_server_status_shows_elected_and_busy_of_each_member(httpd, backends):
    configuration = cluster(*(member.url for member in backends(2)), settings="lbmethod=sticky")
    server = httpd("""ProxyPass /server-status !
                      ProxyStatus On
                      <Location "/server-status">
                          SetHandler server-status
                      </Location>""" + configuration)
    server.bodies(5)
    page = server.curl("/server-status?auto").body
    assert re.findall(r"Elected: (\d+)", page) == ["3", "2"]
    # httpd takes a request off when it tidies up behind it, which may be after its client has the answer.
    wait_until(lambda: re.findall(r"Busy: (\d+)", server.curl("/server-status?auto").body) == ["0", "0"], "nobody is busy")
    assert "<td>sticky</td>" in server.curl("/server-status").body
