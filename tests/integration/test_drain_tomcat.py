"""A draining member is told so over AJP: Tomcat's LoadBalancerDrainingValve then sends away clients whose session is over,
by taking their session id and redirecting them to where they came from."""

import pytest

from server import Client, cluster, wait_until
from test_append_applications import Tomcat
from test_lifecycle import drain

SERVICE = """
    <Service name="member{number}">
        <Connector port="{port}" address="127.0.0.1" protocol="AJP/1.3" secretRequired="false"/>
        <Engine name="member{number}" defaultHost="localhost" jvmRoute="node{number}">
            <Valve className="org.apache.catalina.valves.LoadBalancerDrainingValve"/>
            <Host name="localhost" appBase="member{number}" unpackWARs="false" autoDeploy="false"/>
        </Engine>
    </Service>"""
FOLLOW = ["--location", "--max-redirs", "5", "--write-out", "\n%{num_redirects}"]


class Member:
    def __init__(self, url):
        self.url = url


@pytest.fixture(scope="module")
def tomcat(tmp_path_factory):
    tomcat = Tomcat(tmp_path_factory.mktemp("tomcat"), 2, SERVICE)
    try:
        yield tomcat.wait()
    finally:
        tomcat.stop()


@pytest.mark.parametrize("cookie", ["off", "auto", "lb"], ids=["no own cookie", "own cookie where needed", "own cookie"])
def test_a_client_whose_session_is_over_moves_and_all_others_stay(httpd, tomcat, tmp_path, cookie):
    members = [Member(f"ajp://127.0.0.1:{port}") for port in tomcat.ports]
    server = httpd(cluster(*(f"{member.url} route=node{number}" for number, member in enumerate(members, 1)),
                           more=f"LBStickySession JSESSIONID\nLBStickyCookie {cookie}"), modules=["proxy_ajp"])

    def ask(client, query=""):
        """(what the session counts, the member that answered, how many redirects led there)"""
        *_, body, redirects = client.curl(server, f"/counter.jsp{query}", *FOLLOW).body.splitlines()
        wait_until(lambda: server.choices(), "it is decided")
        return body, server.choices()[-1][2], redirects

    clients = [Client(tmp_path, f"jar{number}") for number in range(4)]
    first = [ask(client) for client in clients]
    assert {count for count, *_ in first} == {"1"} and {redirects for *_, redirects in first} == {"0"}
    over, *others = [client for client, (_, member, _) in zip(clients, first) if member == members[0].url]
    assert others

    drain(server, members[0])
    assert ask(over) == ("2", members[0].url, "0")
    assert ask(over, "?logout") == ("3", members[0].url, "0")
    assert ask(over) == ("1", members[1].url, "1")
    assert ask(over) == ("2", members[1].url, "0")
    assert [ask(client) for client in others] == [("2", members[0].url, "0")] * len(others)
