"""route=append before real applications that keep their sessions to themselves and know nothing of routes: one whose
session is a cookie that its member has signed, and a servlet container without jvmRoute. Clients are curl's jars."""

import logging
import os
import secrets
import subprocess
import threading

import flask
import pytest
import werkzeug.serving

from server import Client, cluster, free_port, wait_until, with_routes
from test_append import counted

TOMCAT = "/usr/share/tomcat10"


class Flask:
    """Counts the requests of a session in the session, a cookie signed with a key that only this member has."""

    def __init__(self):
        application = flask.Flask("counter")
        application.secret_key = secrets.token_hex()

        @application.route("/")
        def count():
            flask.session["count"] = flask.session.get("count", 0) + 1
            return str(flask.session["count"])

        @application.route("/logout")
        def log_out():
            flask.session.clear()
            return "good-bye"

        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self.listener = werkzeug.serving.make_server("127.0.0.1", 0, application, threaded=True)
        self.url = f"http://127.0.0.1:{self.listener.server_port}"
        threading.Thread(target=self.listener.serve_forever, daemon=True).start()

    def stop(self):
        self.listener.shutdown()
        self.listener.server_close()


@pytest.fixture
def signing_members(cleanup):
    members = [Flask() for _ in range(3)]
    for member in members:
        cleanup.callback(member.stop)
    return with_routes(members)


SIGNED = "LBStickySession session route=append\nLBStickyCookie off"


def test_a_session_that_its_member_signs_is_never_lost(httpd, signing_members, tmp_path):
    server = httpd(cluster(*signing_members, more=SIGNED))
    assert counted(tmp_path, server) == [["1", "2", "3", "4", "5", "6"]] * 3


def test_a_session_that_its_member_signs_is_never_lost_between_two_front_ends(httpd, signing_members, tmp_path):
    one, two = (httpd(cluster(*members, more=SIGNED)) for members in (signing_members, reversed(signing_members)))
    assert counted(tmp_path, one, two) == [["1", "2", "3", "4", "5", "6"]] * 3


def test_without_it_the_members_do_not_know_each_others_sessions(httpd, signing_members, tmp_path):
    """So that the others could have failed."""
    server = httpd(cluster(*signing_members, more="LBStickySession session\nLBStickyCookie off\nLBStickyHash off"))
    assert counted(tmp_path, server, clients=1) != [["1", "2", "3", "4", "5", "6"]]


def test_a_client_who_logs_out_keeps_nothing_and_begins_anew(httpd, signing_members, tmp_path):
    server = httpd(cluster(*signing_members, more=SIGNED))
    client = Client(tmp_path)
    for _ in range(2):
        assert [client.curl(server).body for _ in range(3)] == ["1", "2", "3"]
        [deletion] = client.curl(server, "/logout").set_cookies
        assert deletion.startswith("session=;") and "Max-Age=0" in deletion
        assert client.curl(server, "/logout").affinity == "new"


# -- Tomcat -------------------------------------------------------------------------------------------------------

# Each of the services of one Tomcat has sessions of its own, as each of several Tomcats has.
SERVICE = """
    <Service name="member{number}">
        <Connector port="{port}" address="127.0.0.1" protocol="HTTP/1.1"/>
        <Engine name="member{number}" defaultHost="localhost">
            <Host name="localhost" appBase="member{number}" unpackWARs="false" autoDeploy="false"/>
        </Engine>
    </Service>"""
SERVLETS = """<web-app xmlns="https://jakarta.ee/xml/ns/jakartaee" version="6.0">
    <servlet>
        <servlet-name>jsp</servlet-name>
        <servlet-class>org.apache.jasper.servlet.JspServlet</servlet-class>
    </servlet>
    <servlet-mapping>
        <servlet-name>jsp</servlet-name>
        <url-pattern>*.jsp</url-pattern>
    </servlet-mapping>
</web-app>"""
COUNTER = """<%
    Integer count = (Integer) session.getAttribute("count");
    count = count == null ? 1 : count + 1;
    session.setAttribute("count", count);
    if (request.getParameter("logout") != null) session.invalidate();
%><%= count %>"""


class Tomcat:
    """The services of one Tomcat."""

    def __init__(self, base, count, service=SERVICE):
        self.base = base
        self.ports = [free_port() for _ in range(count)]
        services = "".join(service.format(number=number, port=port) for number, port in enumerate(self.ports, 1))
        for name in ("conf", "logs", "temp", "work"):
            (base / name).mkdir()
        (base / "conf/server.xml").write_text(f'<Server port="-1">{services}</Server>')
        for number in range(1, count + 1):
            (base / f"member{number}/ROOT/WEB-INF").mkdir(parents=True)
            (base / f"member{number}/ROOT/WEB-INF/web.xml").write_text(SERVLETS)
            (base / f"member{number}/ROOT/counter.jsp").write_text(COUNTER)
        with open(base / "logs/output", "wb") as output:
            self.process = subprocess.Popen(
                ["java", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto",
                 f"-Dcatalina.home={TOMCAT}", f"-Dcatalina.base={base}", f"-Djava.io.tmpdir={base}/temp",
                 "-Dtomcat.util.scan.StandardJarScanFilter.jarsToSkip=*",
                 "-classpath", f"{TOMCAT}/bin/bootstrap.jar:{TOMCAT}/bin/tomcat-juli.jar",
                 "org.apache.catalina.startup.Bootstrap", "start"],
                stdout=output, stderr=output, stdin=subprocess.DEVNULL, env={**os.environ, "LD_PRELOAD": ""})

    @property
    def urls(self):
        return [f"http://127.0.0.1:{port}" for port in self.ports]

    def output(self):
        return (self.base / "logs/output").read_text(errors="replace")

    def wait(self):
        def is_up():
            assert self.process.poll() is None, self.output()
            return "Server startup in" in self.output()
        wait_until(is_up, "Tomcat is up", 60)
        return self

    def stop(self):
        self.process.kill()
        self.process.wait()


@pytest.fixture(scope="module")
def tomcat(tmp_path_factory):
    tomcat = Tomcat(tmp_path_factory.mktemp("tomcat"), 2)
    try:
        yield tomcat.wait()
    finally:
        tomcat.stop()


def test_a_servlet_container_without_a_jvm_route_keeps_its_sessions(httpd, tomcat, tmp_path):
    members = [f"{url} route=node{number}" for number, url in enumerate(tomcat.urls, 1)]
    servers = [httpd(cluster(*members, more="LBStickySession JSESSIONID|jsessionid route=append")) for _ in range(2)]
    for n in range(4):
        client = Client(tmp_path, f"jar{n}")
        first = client.curl(servers[0], "/counter.jsp")
        [cookie] = first.set_cookies
        assert cookie.startswith("JSESSIONID=") and f".node{n % 2 + 1}; Path=/" in cookie
        counters = [first.body.strip()]
        for number in range(5):
            counters.append(client.curl(servers[number % 2], "/counter.jsp").body.strip())
        assert counters == ["1", "2", "3", "4", "5", "6"]
        client.curl(servers[0], "/counter.jsp?logout=1")
        assert client.curl(servers[0], "/counter.jsp").body.strip() == "1"
