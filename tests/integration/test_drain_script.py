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
    assert status == 1 and f"somebody ended the drain of {members[1].url}" in errors and "BalancerPersist" in errors


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


ANOTHER_HOST = ["--header", "Host: www.example.org"]


@pytest.mark.parametrize("name, asked", [("MyCluster", "MyCluster"), ("my.cluster", "balancer://my.cluster"),
                                         ("my$cluster:8080", "my$cluster:8080")])
def test_a_balancers_name_is_written_as_in_the_configuration(httpd, backends, drain, name, asked):
    members = backends(2)
    # One whose name is like it stands first, and has another nonce.
    server = httpd(STATUS + cluster(*members_of(members), name=name.replace(".", "-") + "1", path="/other")
                   + cluster(*members_of(members), name=name, more=SOON))
    assert ended(drain(server.url, asked, members[1].url)) == (0, [is_drained(members[1])], "")
    assert server.report(name.lower())["workers"][1]["status"] == ["usable", "draining", "drained"]


def test_a_nonce_may_be_that_of_the_configuration(httpd, backends, drain):
    members = backends(2)
    server = httpd(STATUS + cluster(*members_of(members), settings="lbmethod=sticky nonce=Of+the=operators",
                                    more=SOON))
    assert ended(drain(server.url, "mycluster", members[1].url)) == (0, [is_drained(members[1])], "")


@pytest.mark.parametrize("before", ["", "UseCanonicalName On\nServerName www.example.org\n"],
                         ids=["by curl's options", "by UseCanonicalName"])
def test_the_site_may_go_by_another_name_than_its_url_says(httpd, backends, drain, monkeypatch, before):
    members = backends(2)
    monkeypatch.setenv("CURL_OPTIONS", '--header "Host: www.example.org"')
    host = "<VirtualHost *>\nServerName first.example\n</VirtualHost>\n<VirtualHost *>\nServerName www.example.org\n"
    server = httpd(before + host + STATUS + cluster(*members_of(members), more=SOON) + "</VirtualHost>\n",
                   expected=["AH10187: ignoring params in balancer-manager cross-site access"])
    assert ended(drain(server.url, "mycluster", members[1].url)) == (0, [is_drained(members[1])], "")
    report = [line for line in server.curl("/lbsticky-status", *ANOTHER_HOST).body.splitlines()
              if 'status="draining"' in line]
    assert [line[-1] for line in report] == ["0", "1"]
    assert ended(drain("--undo", server.url, "mycluster", members[1].url))[0] == 0
    assert 'status="draining"} 1' not in server.curl("/lbsticky-status", *ANOTHER_HOST).body


@pytest.mark.parametrize("undo", [[], ["--undo"]], ids=["drain", "undo"])
def test_it_says_when_the_manager_ignores_the_change(httpd, backends, drain, undo):
    # httpd's manager changes nothing where the nonce is None.
    members = backends(2)
    server = httpd(STATUS + cluster(*(f"{line} status={'+N' if undo else '-N'}" for line in members_of(members)),
                                    settings="lbmethod=sticky nonce=None", more=SOON))
    assert refused(drain(*undo, server.url, "mycluster", members[1].url), "has ignored the change")


def test_a_page_of_the_application_is_no_verdict(httpd, backends, drain):
    [member] = backends(1)
    member.name = "<p>Welcome</p>\n"
    server = httpd(MANAGER + cluster(member.url, more="LBStickyDrain quiet=1h"))
    assert refused(drain(server.url, "mycluster", member.url), "lbsticky-status answers with status 200 and no verdict")
    assert "Init Drn" not in server.manager_page()


def test_a_member_is_written_as_in_the_configuration(httpd, backends, drain, open_folder):
    [socket] = backends(1, unix=str(open_folder))
    [other] = backends(1)
    members = [socket.url, other.url.replace("http://127.0.0.1", "HTTP://LocalHost") + "/App",
               other.url.replace("http://", "http://user:password@"), "ajp://[::1]:8009", "http://127.0.0.1:80/App"]
    server = httpd(STATUS + cluster(*members, more=SOON), modules=["proxy_ajp"])
    for count, member in enumerate(members, 1):
        assert ended(drain(server.url, "mycluster", member)) == (0, [f"{member} is drained: it can be stopped"], "")
        assert sum("drained" in worker["status"] for worker in server.report()["workers"]) == count
