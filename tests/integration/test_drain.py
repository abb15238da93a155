"""LBStickyDrain: when a member is drained, when its sessions are moved, and how it is told."""

import re
import subprocess

import pytest

from server import BACKEND_IS_DOWN, STATUS, cluster, wait_until, with_routes
from test_in_flight import SERVER_STATUS, SESSION, all_have_ended, gated, hold
from test_lifecycle import drain
from test_protocols import Ajp, two_responders
from test_state import STATUS_COLUMN, UNAVAILABLE, column_of, requests_in, virtual_hosts

OWN = "lbsticky_mycluster"
NAMES = "LBStickySession JSESSIONID"


def site(members, more, settings="", before="", **options):
    return before + STATUS + SERVER_STATUS + cluster(*members, settings=f"lbmethod=sticky {settings}",
                                                     more=f"{NAMES}\n{more}", **options)


def ask_whether_drained(server, member, balancer="mycluster"):
    """(status, the line)"""
    answer = server.curl(f"/lbsticky-status?drained={balancer}&member={member}")
    assert answer.body.count("\n") == 1 and answer.body.endswith("\n")
    return answer.status, answer.body[:-1]


# -- drained ----------------------------------------------------------------------------------------------------------


def test_a_member_is_drained_when_it_serves_nobody_and_no_session_has_asked_for_so_long(httpd, backends, send):
    members = gated(backends, 2)
    server = httpd(site(with_routes(members), "LBStickyDrain quiet=2s"), processes=3)
    url = members[0].url
    assert ask_whether_drained(server, url) == (409, "it is not draining")
    hold(send, server, members[0])
    drain(server, members[0])
    assert ask_whether_drained(server, url) == (409, "it is serving 1 request")
    members[0].gate.set()
    all_have_ended(server)
    status, line = ask_whether_drained(server, url)
    assert status == 409 and re.fullmatch(r"a session of its may ask within [12] s", line)
    assert server.curl(cookie=f"{SESSION}.node1").body == "backend1"  # it keeps its sessions
    wait_until(lambda: ask_whether_drained(server, url) == (200, "drained"), "it is drained")

    assert server.report()["workers"][0]["status"] == ["usable", "draining", "drained"]
    assert f'worker="{url}",status="drained"}} 1' in server.curl("/lbsticky-status").body
    assert re.fullmatch(r"drained, drain began \d+ s ago", column_of(server.manager_page(), STATUS_COLUMN)[url])
    assert "StickyBalancer[0]Drained: 1\n" in server.curl("/server-status?auto").body

    server.curl(cookie=f"{SESSION}.node1")
    assert ask_whether_drained(server, url)[0] == 409
    drain(server, members[0], on=False)
    assert ask_whether_drained(server, url) == (409, "it is not draining")


def test_a_script_can_wait_for_it(httpd, backends):
    members = backends(2)
    server = httpd(site(with_routes(members), "LBStickyDrain quiet=1s"))
    drain(server, members[0])
    url = f"{server.url}/lbsticky-status?drained=mycluster&member={members[0].url}"
    loop = subprocess.run(["sh", "-c", f"until curl -fsS '{url}'; do sleep 0.2; done"], capture_output=True, text=True,
                          timeout=30)
    assert loop.stdout == "drained\n"


def test_without_the_directive_ten_minutes_are_quiet(httpd, backends):
    members = backends(2)
    server = httpd(site(with_routes(members), ""))
    drain(server, members[0])
    status, line = ask_whether_drained(server, members[0].url, "balancer://mycluster")
    assert status == 409 and re.fullmatch(r"a session of its may ask within (59\d|600) s", line)


def test_who_is_nobody_is_not_found(httpd, backends):
    members = backends(1)
    server = httpd(site(with_routes(members), "") + cluster(members[0].url, settings="lbmethod=byrequests", name="other",
                                                            path="/other"))
    for query in (f"drained=foo&member={members[0].url}", "drained=mycluster&member=http://nobody", "drained=mycluster",
                  f"drained=other&member={members[0].url}", "drained=", "drained=mycluster&member="):
        answer = server.curl(f"/lbsticky-status?{query}")
        assert answer.status == 404 and answer.body.count("\n") == 1
    assert server.curl("/lbsticky-status").status == 200


def test_a_session_whose_request_took_long_may_ask_again(httpd, backends, send):
    members = gated(backends, 2)
    server = httpd(site(with_routes(members), "LBStickyDrain quiet=2s"), processes=3)
    [slow] = hold(send, server, members[0])
    drain(server, members[0])
    wait_until(lambda: server.report()["workers"][0]["draining_seconds"] >= 3, "it has drained for longer than that")
    members[0].gate.set()
    slow.answer()
    all_have_ended(server)
    status, line = ask_whether_drained(server, members[0].url)
    assert status == 409 and re.fullmatch(r"a session of its may ask within [12] s", line)
    wait_until(lambda: ask_whether_drained(server, members[0].url) == (200, "drained"), "it is drained")


@pytest.mark.parametrize("member", ["http://LocalHost:80/App", "unix:/run/app.sock|http://App", "HTTPS://127.0.0.1:443",
                                    "http://user:password@127.0.0.1:1", "ajp://[::1]:8009"])
def test_members_and_balancers_are_written_as_in_the_configuration(httpd, member):
    server = httpd(STATUS + cluster(f"{member} status=+N", name="MyCluster", more="LBStickyDrain quiet=1ms"),
                   modules=["ssl", "proxy_ajp"])
    asked = ["--get", "--data-urlencode", "drained=MyCluster", "--data-urlencode"]
    assert server.curl("/lbsticky-status", *asked, f"member={member}").body == "drained\n"
    shown = server.report("mycluster")["workers"][0]["url"]
    assert server.curl("/lbsticky-status", *asked, f"member={shown}").body == "drained\n"
    for other in (f"{member}/x", member.replace(":", ";", 1), "://", "unix:|", "http://:"):
        assert server.curl("/lbsticky-status", *asked, f"member={other}").status == 404


def test_balancers_of_one_name_are_asked_about_each_in_its_host_and_together_elsewhere(httpd, backends):
    [member] = backends(1)
    host = STATUS + cluster(f"{member.url} status={{}}", more=f"{NAMES}\nLBStickyDrain quiet=1ms")
    (one,), first = virtual_hosts(host.format("+N"), "one.example")
    (two,), second = virtual_hosts(host.format("-N"), "two.example")
    for hosts in (first + second, second + first):
        server = httpd(STATUS + hosts)
        assert ask_whether_drained(server.at(one), member.url) == (200, "drained")
        assert ask_whether_drained(server.at(two), member.url) == (409, "it is not draining")
        assert ask_whether_drained(server, member.url) == (409, "it is not draining")
        server.stop()


# -- deadline= --------------------------------------------------------------------------------------------------------


def test_when_the_deadline_is_over_sessions_are_moved_in_every_process(httpd, backends):
    members = backends(3)
    server = httpd(site(with_routes(members), "LBStickyDrain deadline=3s\nLBStickyCookie NODE"), processes=3)
    drain(server, members[0])
    seen = server.curl(cookie=f"{SESSION}.node1")
    assert seen.affinity == "failover" or (seen.body, seen.affinity) == ("backend1", "route")
    wait_until(lambda: server.curl(cookie=f"{SESSION}.node1").affinity == "failover", "the deadline is over")
    answers = server.in_every_process(lambda: [server.curl(cookie=f"{SESSION}.node1") for _ in range(3)])
    assert {answer.affinity for answer in answers} == {"failover"} and len({answer.body for answer in answers}) == 1
    assert answers[0].set_cookies and ".node1" not in answers[0].set_cookies[0]
    by_cookie = server.curl(cookie=f"NODE=.node1; {SESSION}")
    assert by_cookie.affinity == "failover" and ".node1" not in by_cookie.set_cookies[0]
    assert re.search(r"affinity failover \(drain deadline\), session JSESSIONID=", server.log())
    assert server.report()["workers"][0]["drain_deadline_seconds"] == 0
    assert server.report()["workers"][0]["moved_away"] > 0
    # Without the drain it is theirs again.
    drain(server, members[0], on=False)
    back = server.in_every_process(lambda: [server.curl(cookie=f"{SESSION}.node1") for _ in range(3)])
    assert {(answer.body, answer.affinity) for answer in back} == {("backend1", "route")}
    assert server.report()["workers"][0]["drain_deadline_seconds"] is None


def test_a_request_that_is_under_way_is_not_cut(httpd, backends, send):
    members = gated(backends, 2)
    server = httpd(site(with_routes(members), "LBStickyDrain deadline=500ms"), processes=3)
    [slow] = hold(send, server, members[0])
    drain(server, members[0])
    wait_until(lambda: server.curl(cookie=f"{SESSION}.node1").affinity == "failover", "the deadline is over")
    members[0].gate.set()
    assert slow.answer().body == "backend1"


def test_the_deadline_is_that_of_the_drain_not_of_a_restart(httpd, backends):
    members = backends(2)
    server = httpd("BalancerPersist On\n" + site(with_routes(members), "LBStickyDrain deadline=1h"))
    drain(server, members[0])
    assert server.curl(cookie=f"{SESSION}.node1").affinity == "route"
    wait_until(lambda: server.report()["workers"][0]["draining_seconds"] >= 2, "two seconds are over")
    server.configure("BalancerPersist On\n" + site(with_routes(members), "LBStickyDrain deadline=2s"))
    server.graceful()
    wait_until(lambda: server.curl(cookie=f"{SESSION}.node1").affinity == "failover", "it is over at once", seconds=10)


def test_without_a_deadline_sessions_stay(httpd, backends):
    members = backends(2)
    server = httpd(site(with_routes(members), "LBStickyDrain deadline=0 quiet=1s"))
    drain(server, members[0])
    wait_until(lambda: ask_whether_drained(server, members[0].url)[0] == 200, "it is drained")
    assert server.curl(cookie=f"{SESSION}.node1").affinity == "route"
    assert server.report()["workers"][0]["drain_deadline_seconds"] is None


def test_with_nofailover_they_are_refused(httpd, backends):
    members = backends(2)
    server = httpd(site(with_routes(members), "LBStickyDrain deadline=1ms", settings="nofailover=On"),
                   expected=UNAVAILABLE)
    drain(server, members[0])
    wait_until(lambda: server.curl(cookie=f"{SESSION}.node1").status == 503, "the deadline is over")
    assert re.search(r"affinity refused \(drain deadline\), session", server.log())


# -- the member is told -----------------------------------------------------------------------------------------------


def told(backend):
    """What the last request said to the member by X-Activation."""
    return backend.requests[-1][2].get_all("X-Activation")


def test_a_draining_member_is_told_by_a_header_and_no_client_can_say_so(httpd, backends):
    members = backends(2)
    log = 'LogFormat "%{X-Activation}i" said\nCustomLog access.log said\n'
    server = httpd(site(with_routes(members), "LBStickyDrain header=X-Activation", before=log))
    drain(server, members[0])
    forged = ["--header", "X-Activation: ACT", "--header", "x-activation: DIS"]
    for arguments in ([], forged):
        for number in (1, 2):
            assert server.curl("/", *arguments, cookie=f"{SESSION}.node{number}").body == f"backend{number}"
        assert told(members[0]) == ["DIS"]
        assert told(members[1]) is None
    log = server.folder / "access.log"
    wait_until(lambda: log.read_text().splitlines()[-4:] == ["-", "-", "ACT, DIS", "ACT, DIS"],
               "the access log has what the client sent")
    drain(server, members[0], on=False)
    server.curl("/", *forged, cookie=f"{SESSION}.node1")
    assert told(members[0]) is None


def test_who_takes_over_from_a_draining_member_is_not_told_so(httpd, backends):
    members = backends(2)
    server = httpd(site(with_routes(members, "retry=600"), "LBStickyDrain header=X-Activation"), expected=BACKEND_IS_DOWN)
    drain(server, members[0])
    members[0].stop()
    answer = server.curl("/", "--header", "X-Activation: DIS", cookie=f"{SESSION}.node1")
    assert (answer.body, answer.affinity) == ("backend2", "failover")
    assert told(members[1]) is None


def test_without_header_nobody_is_told_and_headers_are_left_alone(httpd, backends):
    members = backends(2)
    server = httpd(site(with_routes(members), ""))
    drain(server, members[0])
    server.curl("/", "--header", "X-Activation: ACT", cookie=f"{SESSION}.node1")
    assert told(members[0]) == ["ACT"]


def test_over_ajp_it_is_told_by_the_attribute_of_mod_jk(httpd, cleanup):
    requests = {}

    class Told(Ajp):
        def handle(self):
            requests[self.server.name] = self.server.requests
            super().handle()

    urls = [f"ajp://127.0.0.1:{port}" for port in two_responders(Told, cleanup)]
    lines = [f"{url} route=node{number}" for number, url in enumerate(urls, 1)]
    server = httpd(site([f"{lines[0]} status=+N", lines[1]], ""), modules=["proxy_ajp"])
    for number in (1, 2):
        assert server.curl(cookie=f"{SESSION}.node{number}").body == f"backend{number}"
    assert b"\0\x10JK_LB_ACTIVATION\0\0\x03DIS\0" in requests["backend1"][-1]
    assert b"JK_LB_ACTIVATION" not in requests["backend2"][-1]


# -- whose session is over --------------------------------------------------------------------------------------------


def test_who_has_no_session_id_any_more_leaves_a_draining_member(httpd, backends):
    """Tomcat's valve takes the id from a client and sends it back: by our cookie it would go round for ever."""
    members = backends(2)
    server = httpd(site(with_routes(members), "LBStickyCookie NODE"))
    assert server.curl(cookie="NODE=.node1").affinity == "cookie"
    drain(server, members[0])
    answer = server.curl(cookie="NODE=.node1")
    assert (answer.body, answer.affinity) == ("backend2", "new")
    assert answer.set_cookies[0].startswith("NODE=.node2")
    assert server.decisions()[-1].startswith("balancer://mycluster: affinity new (session over), no session, member")
    assert server.curl(cookie=f"NODE=.node1; {SESSION}").body == "backend1"  # a session that is alive stays
    assert requests_in(server.report())["new", "node2"] == 1


@pytest.mark.parametrize("cookie", ["NODE=.node1", f"NODE=.node1; {SESSION}"])
def test_on_a_balancer_without_session_names_the_cookie_is_the_session(httpd, backends, cookie):
    members = backends(2)
    server = httpd(STATUS + cluster(*with_routes(members), more="LBStickyCookie NODE"))
    drain(server, members[0])
    assert server.curl(cookie=cookie).body == "backend1"
