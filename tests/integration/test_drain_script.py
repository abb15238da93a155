"""lbsticky-drain: drains a member, and ends when it can be stopped."""

import pathlib
import subprocess

import pytest

from server import MANAGER, STATUS, cluster, wait_until
from test_in_flight import gated, hold
from test_state import members_of, virtual_hosts

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "apache-conf" / "lbsticky-drain"
OWN = "lbsticky_mycluster"
QUIET = "LBStickyDrain quiet=2s"
SOON = "LBStickyDrain quiet=1ms"


@pytest.fixture
def drain():
    """drain(argument...): the script, started."""
    started = []

    def start(*arguments):
        started.append(subprocess.Popen([SCRIPT, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        text=True))
        return started[-1]

    yield start
    for script in started:
        script.kill()
        script.communicate()


def ended(script):
    """(exit status, lines of its output, what it complained of)"""
    output, errors = script.communicate(timeout=60)
    return script.returncode, output.splitlines(), errors


def refused(script, sentence):
    status, lines, errors = ended(script)
    last = errors.splitlines()[-1]  # before it curl may have complained
    return status == 1 and lines == [] and last.startswith("lbsticky-drain: ") and sentence in last


def is_drained(member):
    return f"{member.url} is drained: it can be stopped"


@pytest.mark.parametrize("through", ["the main server", "the first virtual host", "the last virtual host"])
def test_it_waits_until_the_sessions_of_the_member_have_ended(httpd, backends, drain, through):
    members = backends(2)
    ports, hosts = virtual_hosts("ProxyPass /own balancer://mycluster/", "a.example", "b.example")
    server = httpd(STATUS + cluster(*members_of(members), more=QUIET) + hosts)
    asked = server if through == "the main server" else server.at(ports[0 if "first" in through else 1])
    script = drain(server.url, "mycluster", members[1].url)
    wait_until(lambda: "draining" in server.report()["workers"][1]["status"], "the member drains")
    answers = [asked.curl(cookie=f"{OWN}=.node2") for _ in range(20)]
    assert script.poll() is None
    status, lines, errors = ended(script)
    assert (status, lines[-1], errors) == (0, is_drained(members[1]), "")
    assert any(line.startswith(f"{members[1].url}: a session of its may ask within ") for line in lines)
    assert {(answer.affinity, answer.body) for answer in answers} == {("cookie", "backend2")}
    assert server.report()["workers"][1]["status"] == ["usable", "draining", "drained"]
    assert set(server.bodies(4)) == {"backend1"}


def test_it_drains_a_member_of_a_virtual_host(httpd, backends, drain):
    members = backends(2)
    (port,), host = virtual_hosts(MANAGER + cluster(*members_of(members), more=SOON), "a.example")
    server = httpd(STATUS + host)
    assert refused(drain(server.url, "mycluster", members[1].url), "is it that of another virtual host?")
    assert ended(drain(server.at(port).url, "mycluster", members[1].url)) == (0, [is_drained(members[1])], "")


def test_it_waits_for_a_request_that_takes_long(httpd, backends, drain, send):
    members = gated(backends, 2)
    server = httpd(STATUS + cluster(*members_of(members), more=f"LBStickySession JSESSIONID\n{SOON}"))
    hold(send, server, members[1])
    script = drain(server.url, "mycluster", members[1].url)
    assert script.stdout.readline() == f"{members[1].url}: it is serving 1 request\n"
    members[1].gate.set()
    assert ended(script) == (0, [is_drained(members[1])], "")


def test_undo_brings_the_member_back_and_neither_touches_another(httpd, backends, drain):
    members = backends(3)
    server = httpd(STATUS + cluster(members[1].url, name="other", path="/other")
                   + cluster(*members_of(members), more=SOON))
    assert ended(drain(f"{server.url}/", "balancer://mycluster", members[1].url))[0] == 0
    status = [worker["status"] for worker in server.report()["workers"]]
    assert status == [["usable"], ["usable", "draining", "drained"], ["usable"]]
    assert [worker["status"] for worker in server.report("other")["workers"]] == [["usable"]]
    undone = ended(drain("--undo", server.url, "mycluster", members[1].url))
    assert undone == (0, [f"{members[1].url} gets new sessions again"], "")
    assert [worker["status"] for worker in server.report()["workers"]] == [["usable"]] * 3


def test_it_ends_with_a_sentence_when_somebody_ends_the_drain(httpd, backends, drain):
    members = backends(2)
    server = httpd(STATUS + cluster(*members_of(members), more="LBStickyDrain quiet=1h"))
    script = drain(server.url, "mycluster", members[1].url)
    assert "a session of its may ask" in script.stdout.readline()
    server.graceful()
    status, _, errors = ended(script)
    assert status == 1 and f"somebody has ended the drain of {members[1].url}" in errors and "BalancerPersist" in errors


def test_it_says_at_once_what_is_not_there(httpd, backends, drain):
    [member] = backends(1)
    server = httpd(STATUS + cluster(member.url, more=SOON))
    assert refused(drain(server.url, "noone", member.url), "there is no such balancer")
    assert refused(drain(server.url, "mycluster", "http://127.0.0.9:1"), "no such member")
    assert refused(drain(server.url, "mycluster"), "usage: lbsticky-drain")
    assert refused(drain("http://127.0.0.1:1", "mycluster", member.url), "does not answer")
    assert server.report()["workers"][0]["status"] == ["usable"]


def test_it_says_where_it_is_not_told_of_the_state(httpd, backends, drain):
    [member] = backends(1)
    server = httpd(MANAGER + cluster(member.url, more=SOON))
    assert refused(drain(server.url, "mycluster", member.url), "lbsticky-status answers with status")
