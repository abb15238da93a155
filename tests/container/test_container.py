"""The container image, really built and really run: by the Docker engine where one answers, else by buildah."""

import contextlib
import http.server
import os
import re
import socket
import subprocess
import threading

import pytest
import yaml

from engine import PROJECT, Buildah, Docker, poll

DOCKER = PROJECT / "docker"


@pytest.fixture(scope="session")
def engine():
    reasons = []
    for kind in (Docker, Buildah):
        if reason := kind.why_not():
            reasons.append(reason)
            continue
        found = kind()
        try:
            found.build()
            yield found
        except subprocess.CalledProcessError as error:
            pytest.fail(f"{error}\n{error.stdout[-4000:]}\n{error.stderr[-4000:]}", pytrace=False)
        finally:
            found.close()
        return
    # Where every change is tried, a test that tries nothing must not pass for one that did.
    (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)("; ".join(reasons))


class Member(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.server.name.encode())

    def log_message(self, *_):
        pass


@pytest.fixture(scope="session")
def members():
    """Two backends that answer with the names that the image gives them as routes; their URLs."""
    servers = [http.server.ThreadingHTTPServer(("127.0.0.1", 0), Member) for _ in range(2)]
    for number, server in enumerate(servers, 1):
        server.name = f"node{number}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
    yield [f"http://127.0.0.1:{server.server_port}" for server in servers]
    for server in servers:
        server.shutdown()


def free_address():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


def curl(url, *options):
    command = ["curl", "-fsS", "--max-time", "10", *options, url]
    return subprocess.run(command, text=True, check=True, capture_output=True).stdout


def wait_for(container, address):
    def answers():
        return subprocess.run(["curl", "-fs", "-o", "/dev/null", f"http://{address}/server-status"]).returncode == 0

    try:
        poll(answers, "the container answers")
    except AssertionError as error:
        pytest.fail(f"{error}\n{container.log()}", pytrace=False)


@pytest.fixture(scope="session")
def address():
    return free_address()


@pytest.fixture(scope="session")
def container(engine, members, address):
    """A container as the Dockerfile's first lines show it, and with the module's debug lines."""
    with engine.run({"LBSTICKY_MEMBERS": " ".join(members), "LBSTICKY_PORT": address,
                     "LBSTICKY_LOGLEVEL": "debug"}) as running:
        wait_for(running, address)
        yield running


@pytest.fixture(scope="session")
def url(container, address):
    return f"http://{address}/"


def test_requests_without_a_session_alternate_between_the_members(url):
    answers = [curl(url) for _ in range(6)]
    assert answers in (["node1", "node2"] * 3, ["node2", "node1"] * 3)


@pytest.mark.parametrize("session", ["12345", "67890", "x.unknown"])
def test_a_session_id_without_a_known_route_stays_on_one_member(url, session):
    assert len({curl(url, "--cookie", f"JSESSIONID={session}") for _ in range(6)}) == 1


@pytest.mark.parametrize("node", ["node1", "node2"])
def test_a_route_in_the_session_id_reaches_the_member_that_has_it(url, node):
    assert [curl(url, "--cookie", f"JSESSIONID=x.{node}") for _ in range(3)] == [node] * 3


def test_a_route_in_the_url_reaches_the_member_that_has_it(url):
    assert [curl(f"{url};jsessionid=x.node2") for _ in range(3)] == ["node2"] * 3


def test_the_balancer_manager_shows_the_members_and_the_method(url, members):
    page = curl(f"{url}balancer-manager")
    assert "balancer://mycluster" in page and ">sticky<" in page
    for number, member in enumerate(members, 1):
        assert member in page and f"node{number}" in page


def test_the_log_says_where_a_request_went_and_why(url, container):
    curl(f"{url}where", "--cookie", "JSESSIONID=logged.node2")
    line = poll(lambda: re.search(r'.*"GET /where .*', container.log()), "the request is in the log")
    assert line[0].endswith("member node2, affinity route")
    assert re.search(r"lbmethod_sticky:debug.* affinity route", container.log())


def test_the_health_check_passes_while_httpd_answers_and_fails_when_it_does_not(engine, url, container, address):
    kind, command = engine.config()["Healthcheck"]["Test"]
    assert kind == "CMD-SHELL"
    assert container.execute(command, LBSTICKY_PORT=address) == 0
    assert container.execute(command, LBSTICKY_PORT=free_address()) != 0


def test_a_configuration_of_ones_own_replaces_the_example(engine, members, tmp_path):
    own = tmp_path / "own.conf"
    own.write_text(f"""
        <Proxy "balancer://own">
            BalancerMember {members[0]} route=a
            BalancerMember {members[1]} route=b
            ProxySet lbmethod=sticky
            LBStickySession SESSION
            LBStickyHash off
        </Proxy>
        ProxyPass "/" "balancer://own/"
    """)
    address = free_address()
    with engine.run({"LBSTICKY_CONF": "/own.conf", "LBSTICKY_PORT": address}, [(own, "/own.conf")]) as container:
        wait_for(container, address)
        assert {curl(f"http://{address}/", "--cookie", "SESSION=12345") for _ in range(2)} == {"node1", "node2"}
        assert {curl(f"http://{address}/", "--cookie", "SESSION=12345.b") for _ in range(2)} == {"node2"}


def test_without_members_it_does_not_start_and_says_what_is_missing(engine):
    with engine.run({}) as container:
        assert container.wait() != 0
        assert "LBSTICKY_MEMBERS is empty" in container.log()


def test_its_stop_signal_ends_it_at_once_and_in_order(engine, members):
    address = free_address()
    with engine.run({"LBSTICKY_MEMBERS": " ".join(members), "LBSTICKY_PORT": address}) as container:
        wait_for(container, address)
        assert container.stop() == 0
        assert "shutting down gracefully" in container.log()


def documented_variables():
    """What the lines at the head of the Dockerfile explain."""
    names = set(re.findall(r"^# (LBSTICKY_\w+)  ", (DOCKER / "Dockerfile").read_text(), re.MULTILINE))
    assert names
    return names


def test_every_variable_that_is_explained_has_a_default_and_an_effect_and_no_other_is_used():
    dockerfile = (DOCKER / "Dockerfile").read_text()
    defaults = set(re.findall(r"(LBSTICKY_\w+)=", dockerfile.partition("\nENV ")[2]))
    files = ["httpd.conf", "example.conf", "entrypoint.sh"]
    used = {name for file in files for name in re.findall(r"\$\{?(LBSTICKY_\w+)", (DOCKER / file).read_text())}
    assert documented_variables() == defaults == used


# What docker/compose.yaml says: the reverse proxy, and what is behind it.
COMPOSE = DOCKER / "compose.yaml"
BEHIND = yaml.safe_load(COMPOSE.read_text())["services"]
PROXY = BEHIND.pop("httpd")


def test_compose_starts_httpd_with_its_configuration_and_the_servers_that_this_names():
    assert sorted(BEHIND) == ["api1", "api2", "web1", "web2"] == sorted(PROXY["depends_on"])
    assert [service["hostname"] for service in BEHIND.values()] == list(BEHIND)
    assert {service["image"] for service in BEHIND.values()} == {PROXY["image"]}
    assert (DOCKER / PROXY["build"]["context"] / PROXY["build"]["dockerfile"]).samefile(DOCKER / "Dockerfile")
    assert set(PROXY["environment"]) <= documented_variables()
    assert PROXY["volumes"] == [f"./compose.conf:{PROXY['environment']['LBSTICKY_CONF']}:ro"]
    assert re.findall(r"http://(\w+):8000", (DOCKER / "compose.conf").read_text()) == list(BEHIND)
    if subprocess.run(["docker", "compose", "version"], capture_output=True).returncode == 0:
        subprocess.run(["docker", "compose", "-f", COMPOSE, "config", "--quiet"], check=True)


@pytest.fixture(scope="session")
def site(engine, tmp_path_factory):
    """All that compose.yaml runs, with ports of this machine for hosts of its own: the URL, and containers by name."""
    ports = {name: free_address().split(":")[1] for name in BEHIND}
    conf = tmp_path_factory.mktemp("site") / "compose.conf"
    conf.write_text(re.sub(r"http://(\w+):8000", lambda member: f"http://127.0.0.1:{ports[member[1]]}",
                           (DOCKER / "compose.conf").read_text()))
    address = free_address()
    with contextlib.ExitStack() as running:
        containers = {}
        for name, service in BEHIND.items():
            command = [word.replace("8000", ports[name]) for word in service["entrypoint"]]
            containers[name] = running.enter_context(engine.run({}, command=command, hostname=service["hostname"]))
            poll(lambda: subprocess.run(["curl", "-fs", f"http://127.0.0.1:{ports[name]}/"], text=True,
                                        stdout=subprocess.PIPE).stdout.strip() == name, f"{name} answers")
        environment = PROXY["environment"] | {"LBSTICKY_PORT": address}
        proxy = running.enter_context(engine.run(environment, [(conf, environment["LBSTICKY_CONF"])]))
        wait_for(proxy, address)
        yield f"http://{address}/", containers


def assert_asked(containers, path, **times):
    """How often each was asked for that path, by its own log, which may come a moment after the answer."""
    expected = dict.fromkeys(BEHIND, 0) | times
    poll(lambda: {name: container.log().count(f'"GET {path} ') for name, container in containers.items()} == expected,
         f"the servers' logs have {expected} requests for {path}")


def test_the_api_gives_a_cookie_and_every_request_that_has_it_reaches_one_server(site):
    url, servers = site
    name, cookie = curl(f"{url}api/", "--write-out", "%header{set-cookie}").split("\n")
    assert cookie == f"api_sticky=.{name}; Path=/; HttpOnly; SameSite=Lax"
    with_cookie = ["--cookie", cookie.split(";")[0], "--write-out", "%header{set-cookie}"]
    assert [curl(f"{url}api/", *with_cookie) for _ in range(10)] == [f"{name}\n"] * 10
    assert_asked(servers, "/api/", **{name: 11})


def test_the_web_servers_take_turns_and_give_no_cookie(site):
    url, servers = site
    answers = [curl(f"{url}index.html", "--write-out", "%header{set-cookie}") for _ in range(10)]
    assert answers in (["web1\n", "web2\n"] * 5, ["web2\n", "web1\n"] * 5)
    assert_asked(servers, "/index.html", web1=5, web2=5)


# What docker/front-ends.yaml says: two front ends that share learned sessions.
FRONT_ENDS = yaml.safe_load((DOCKER / "front-ends.yaml").read_text())["services"]


def test_both_front_ends_have_one_configuration_which_names_the_servers_behind_them():
    conf = (DOCKER / "front-ends.conf").read_text()
    named = [*re.findall(r"http://(\w+):8000", conf), *re.findall(r"redis://(\w+)$", conf, re.MULTILINE)]
    assert list(FRONT_ENDS) == ["front1", "front2", "redis", "app1", "app2"]
    for front in (FRONT_ENDS["front1"], FRONT_ENDS["front2"]):
        assert sorted(front["depends_on"]) == sorted(named)
        assert set(front["environment"]) <= documented_variables()
        assert front["volumes"] == [f"./front-ends.conf:{front['environment']['LBSTICKY_CONF']}:ro"]
    if subprocess.run(["docker", "compose", "version"], capture_output=True).returncode == 0:
        subprocess.run(["docker", "compose", "-f", DOCKER / "front-ends.yaml", "config", "--quiet"], check=True)


def test_a_session_stays_where_it_was_made_whichever_front_end_it_comes_through(engine, tmp_path):
    """With this machine's Redis and ports for the hosts of front-ends.yaml."""
    addresses = {name: free_address() for name in FRONT_ENDS}
    conf = tmp_path / "front-ends.conf"
    conf.write_text(re.sub(r"(\w+):8000|(?<=redis://)(\w+)", lambda host: addresses[host[1] or host[2]],
                           (DOCKER / "front-ends.conf").read_text()))
    with contextlib.ExitStack() as running:
        command = [*FRONT_ENDS["redis"]["command"], "--port", addresses["redis"].split(":")[1], "--bind", "127.0.0.1"]
        redis = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL)
        running.callback(lambda: (redis.terminate(), redis.wait()))
        for name in ("app1", "app2"):
            command = [word.replace("8000", addresses[name].split(":")[1]) for word in FRONT_ENDS[name]["entrypoint"]]
            running.enter_context(engine.run({}, [(DOCKER / "application.py", "/application.py")], command))
            poll(lambda: subprocess.run(["curl", "-fs", "-o", tmp_path / "answer",
                                         f"http://{addresses[name]}/"]).returncode == 0, f"{name} answers")
        for name in ("front1", "front2"):
            environment = FRONT_ENDS[name]["environment"] | {"LBSTICKY_PORT": addresses[name]}
            wait_for(running.enter_context(engine.run(environment, [(conf, environment["LBSTICKY_CONF"])])),
                     addresses[name])
        for client in range(4):
            jar = ["--cookie-jar", tmp_path / f"jar{client}", "--cookie", tmp_path / f"jar{client}"]
            for number in range(1, 7):
                # What the last one learned must have reached Redis before the other one asks for it.
                answer = curl(f"http://{addresses[f'front{1 + number % 2}']}/", *jar)
                assert answer.startswith(f"request {number} of the session")
                if number == 1:
                    poll(lambda: subprocess.run(["redis-cli", "-p", addresses["redis"].split(":")[1], "dbsize"],
                                                capture_output=True, text=True).stdout.strip() == str(client + 1),
                         "Redis has the session")
