"""GET /lbsticky-status?explain=: where a request would go, and why. That it goes there then, test_decision_table.py
checks for each of its requests."""

import json
import re
import time

import pytest

from server import BACKEND_IS_DOWN, MANAGER, STATUS, cluster, wait_until, with_routes
from test_drain import drain
from test_in_flight import SESSION, gated, hold
from test_virtual_hosts import PASS, host

ID = "0123456789abcdef"
NAMES = "LBStickySession JSESSIONID|jsessionid"


def site(members, more=NAMES, settings="", name="mycluster", **options):
    return STATUS + cluster(*members, settings=f"lbmethod=sticky {settings}", more=more, name=name, **options)


def asked(server, query, *arguments, **options):
    return server.curl(f"/lbsticky-status?{query}", *arguments, **options)


def told(server, *arguments, cookie=None, balancer="mycluster", url=None):
    """The lines of the answer, without the balancer's; URLs of members as their routes."""
    more = ["--data-urlencode", f"url={url}"] if url else []
    answer = server.curl("/lbsticky-status", "--get", "--data", f"explain={balancer}", *more, *arguments, cookie=cookie)
    assert answer.status == 200 and answer.header("Content-Type") == "text/plain; charset=utf-8"
    assert answer.header("Cache-Control") == "no-store"
    first, *lines, end = answer.body.split("\n")
    assert first == f"balancer://{balancer}" and end == ""
    for worker in server.report(balancer)["workers"]:
        lines = [line.replace(worker["url"], worker["route"].upper()) for line in lines]
    return lines


GIVEN = "is given  cookie lbsticky_mycluster=.node{}; Path=/; HttpOnly; SameSite=Lax, {}"


def where_needed(node):
    return GIVEN.format(node, "if the answer's session id has no route")


# -- line by line -----------------------------------------------------------------------------------------------------


def test_a_new_session(httpd, backends):
    server = httpd(site(with_routes(backends(2))))
    assert told(server) == ["  route     no JSESSIONID|jsessionid",
                            "  cookie    no cookie lbsticky_mycluster",
                            "  hash      no session id to hash",
                            "> new       LBStickyPlace rotation",
                            "goes to   NODE1, route node1",
                            where_needed(1)]


def test_a_route(httpd, backends):
    server = httpd(site(with_routes(backends(2))))
    assert told(server, cookie=f"JSESSIONID={ID}.node2; lbsticky_mycluster=.node1") == [
        "> route     JSESSIONID=0123...(22), node2: NODE2 (usable)", "goes to   NODE2, route node2", where_needed(2)]


def test_the_url_that_is_asked_about(httpd, backends):
    server = httpd(site(with_routes(backends(2))))
    assert told(server, cookie=f"JSESSIONID={ID}.node1", url=f"/a;jsessionid={ID}.node2?b=c&d")[0] == (
        "> route     jsessionid=0123...(22), node2: NODE2 (usable)")
    assert told(server, url=f"/a?b=c&jsessionid={ID}.node2&d=e")[0].startswith("> route     jsessionid=0123...(22)")
    # That of the question itself is another one.
    assert told(server, "--data", f"jsessionid={ID}.node2")[3] == "> new       LBStickyPlace rotation"


def test_an_expression_is_evaluated_for_that_url(httpd, backends):
    server = httpd(site(with_routes(backends(2)), more=r'LBStickySession "expr:%{HTTP:X-Tenant}%{QUERY_STRING}"'))
    by_hash = told(server, "--header", "X-Tenant: acme", url="/x?it")
    assert by_hash[0] == "  route     expr:%{HTTP:X-Tenant}%{QUERY_STRING}=acm...(6) has no route of a member"
    served = {told(server, "--header", f"X-Tenant: acme{n}")[3] for n in range(20)}
    assert served == {"goes to   NODE1, route node1", "goes to   NODE2, route node2"}


def test_the_balancers_cookie(httpd, backends):
    server = httpd(site(with_routes(backends(2)), more="LBStickyCookie SRV"))
    assert told(server, cookie="SRV=.node2") == ["  route     no session id is looked for",
                                                 "> cookie    SRV names NODE2 (usable)",
                                                 "goes to   NODE2, route node2",
                                                 "is given  nothing"]
    assert told(server, cookie="SRV=.nobody")[1] == "  cookie    SRV names no member"
    assert told(server)[-1] == "is given  cookie SRV=.node1; Path=/; HttpOnly; SameSite=Lax"


def test_a_cookie_that_is_for_another_path(httpd, backends):
    server = httpd(site(with_routes(backends(2)), more="LBStickyCookie SRV path=/shop"))
    assert told(server, url="/")[-1] == "is given  no cookie: SRV is for path=/shop"
    assert told(server, url="/shop/cart?a=b")[-1] == "is given  cookie SRV=.node1; Path=/shop; HttpOnly; SameSite=Lax"


def test_hashing(httpd, backends):
    server = httpd(site(with_routes(backends(1))))
    assert told(server, cookie=f"JSESSIONID={ID}.node9") == [
        "  route     JSESSIONID=0123...(22) has no route of a member: node9",  # but for a character
        "  cookie    no cookie lbsticky_mycluster",
        "> hash      consistent hashing gives the session id to NODE1 (usable)",
        "goes to   NODE1, route node1",
        GIVEN.format(1, "unless the answer gives a session id with a route")]
    server = httpd(site(with_routes(backends(1)), more=f"{NAMES}\nLBStickyHash off\nLBStickyCookie off"))
    assert told(server, cookie=f"JSESSIONID={ID}") == ["  route     JSESSIONID=0123...(16) has no route of a member",
                                                       "  cookie    the balancer has no cookie of its own",
                                                       "  hash      LBStickyHash is off",
                                                       "> new       LBStickyPlace rotation",
                                                       "goes to   NODE1, route node1",
                                                       "is given  nothing"]


def test_failover(httpd, backends):
    members = with_routes(backends(4))
    server = httpd(site([members[0] + "status=+D", members[1] + "status=+S redirect=node3", *members[2:]]))
    cookie = "  cookie    no cookie lbsticky_mycluster"
    by_hash = told(server, cookie=f"JSESSIONID={ID}.node1")
    assert by_hash[:3] == ["  route     JSESSIONID=0123...(22), node1: NODE1 (disabled)", cookie,
                           "> failover  another member, by consistent hashing of the session id"]
    assert by_hash[3] in ("goes to   NODE3, route node3", "goes to   NODE4, route node4")
    assert told(server, cookie=f"JSESSIONID={ID}.node2")[:4] == [
        "  route     JSESSIONID=0123...(22), node2: NODE2 (stopped)", cookie,
        "> failover  redirect=node3: NODE3 (usable)", "goes to   NODE3, route node3"]
    assert told(server, cookie=f"JSESSIONID={ID}.node1.node2.node4")[:4] == [
        "  route     JSESSIONID=0123...(34), node1: NODE1 (disabled)", cookie,
        "> failover  the session names further members: NODE2 (stopped), NODE4 (usable)",
        "goes to   NODE4, route node4"]
    assert told(server, cookie="lbsticky_mycluster=.node1")[1:3] == [
        "  cookie    lbsticky_mycluster names NODE1 (disabled)",
        "> failover  another member, by consistent hashing of the client's address"]


def test_nofailover(httpd, backends):
    server = httpd(site([member + "status=+D" for member in with_routes(backends(2))], settings="nofailover=On"))
    assert told(server, cookie=f"JSESSIONID={ID}.node1") == [
        "  route     JSESSIONID=0123...(22), node1: NODE1 (disabled)", "  cookie    no cookie lbsticky_mycluster",
        "> refused   nofailover=On", "goes to   nobody: 503"]
    assert told(server)[3:] == ["> new       nobody can serve", "goes to   nobody: 503"]


def test_what_may_help_where_nobody_can_serve(httpd, backends):
    [member] = backends(1)
    [line] = with_routes([member])
    server = httpd(site([line + "retry=600"], settings="timeout=7 forcerecovery=Off"),
                   expected=[*BACKEND_IS_DOWN, "All workers are in error"])
    member.stop()
    wait = ", unless somebody can serve within timeout=7 s"
    server.curl(cookie=SESSION + ".node1")
    assert told(server)[4] == "goes to   nobody: 503" + wait
    answer = asked(server, "explain=mycluster&format=json", cookie=SESSION + ".node1")
    assert json.loads(answer.body)["unless"] == ["somebody can serve within timeout=7 s"]
    server = httpd(site([line + "retry=600"]), expected=[*BACKEND_IS_DOWN, "All workers are in error"])
    server.curl(cookie=SESSION + ".node1")
    assert told(server)[4] == ("goes to   nobody: 503, unless one of the members in error answers: all are tried then "
                               "(forcerecovery=On)")


def test_where_a_session_cannot_move_nobody_else_can_serve(httpd, backends):
    server = httpd(site([line + "status=+D" for line in with_routes(backends(2))]))
    told_of = told(server, cookie=f"JSESSIONID={ID}.node1")
    assert told_of[2:] == ["> failover  nobody else can serve", "goes to   nobody: 503"]


def test_a_session_id_without_a_route_is_near_to_none_also_where_a_member_has_none(httpd, backends):
    one, two = backends(2)
    server = httpd(site([f"{one.url} route=node1", two.url]))
    answer = server.curl("/lbsticky-status?explain=mycluster", cookie=f"JSESSIONID={ID}")
    assert "  route     JSESSIONID=0123...(16) has no route of a member\n" in answer.body


@pytest.mark.parametrize("asked", ["MyCluster", "balancer://MyCluster", "mycluster", "BALANCER://MyCluster/"])
def test_a_balancers_name_is_written_as_in_the_configuration(httpd, backends, asked):
    server = httpd(STATUS + cluster(backends(1)[0].url, name="MyCluster"))
    answer = server.curl(f"/lbsticky-status?explain={asked}")
    assert (answer.status, answer.body.split("\n")[0]) == (200, "balancer://mycluster")


def test_a_list_of_members_that_share_a_route(httpd, backends):
    one, two = backends(2)
    server = httpd(site([f"{one.url} route=twin status=+D", f"{two.url} route=twin"]),
                   expected=["have the same route=twin"])
    lines = server.curl("/lbsticky-status?explain=mycluster", cookie=f"JSESSIONID={ID}.twin").body.split("\n")
    assert lines[1] == f"> route     JSESSIONID=0123...(21), twin: {one.url} (disabled), {two.url} (usable)"


def test_a_drain(httpd, backends):
    members = backends(2)
    server = httpd(site(with_routes(members), more=f"{NAMES}\nLBStickyDrain deadline=1s"))
    drain(server, members[0])
    route = "> route     JSESSIONID=0123...(22), node1: NODE1 (draining, serves its own sessions)"
    seen = told(server, cookie=f"JSESSIONID={ID}.node1")[0]
    wait_until(lambda: told(server, cookie=f"JSESSIONID={ID}.node1")[:3:2] == [
        "  route     JSESSIONID=0123...(22), node1: NODE1 (draining, its deadline is over)",
        "> failover  another member, by consistent hashing of the session id"], "the deadline is over")
    assert seen in (route, "  route     JSESSIONID=0123...(22), node1: NODE1 (draining, its deadline is over)")
    # Its session is over, or Tomcat's valve and the cookie would send it round.
    assert told(server, cookie="lbsticky_mycluster=.node1")[1:4] == [
        "  cookie    lbsticky_mycluster names NODE1 (draining, its deadline is over); no session id is with it: the "
        "session is over",
        "  hash      no session id to hash", "> new       LBStickyPlace rotation"]


def test_who_is_full(httpd, backends, send):
    members = gated(backends, 2)
    server = httpd(site(with_routes(members), more=f"{NAMES}\nLBStickyLimit all=1"))
    hold(send, server, members[0])
    assert told(server, cookie=f"{SESSION}.node1") == [
        "  route     JSESSIONID=1234...(11), node1: NODE1 (full)", "  cookie    no cookie lbsticky_mycluster",
        "> overload  for this request only, since its member is full: NODE1 (full)", "goes to   NODE2, route node2",
        "is given  nothing: it comes home with its next request"]
    members[0].gate.set()


def test_whom_another_is_preferred_to(httpd, backends, send):
    members = gated(backends, 2)
    server = httpd(site(with_routes(members), more=f"{NAMES}\nLBStickyPlace busyness"))
    hold(send, server, members[0])
    assert told(server)[3:5] == ["> new       LBStickyPlace busyness, rather than NODE1 (usable)",
                                 "goes to   NODE2, route node2"]
    members[0].gate.set()


def test_what_was_learned(httpd, backends):
    server = httpd(site(with_routes(backends(1)), more="LBStickySession JSESSIONID route=learn\nLBStickyCookie off"))
    assert told(server)[2] == "  learned   no session id that could have been learned"
    assert told(server, cookie=f"JSESSIONID={ID}")[2:4] == [
        "  learned   the session id has not been learned",
        "> hash      consistent hashing gives the session id to NODE1 (usable)"]
    server.curl(cookie=f"JSESSIONID={ID}")
    assert told(server, cookie=f"JSESSIONID={ID}")[2:] == ["> learned   learned from NODE1 (usable)",
                                                           "goes to   NODE1, route node1", "is given  nothing"]


def test_a_store_is_not_asked_but_spoken_of(httpd, backends):
    server = httpd(site(with_routes(backends(1)), more="LBStickySession JSESSIONID route=learn\n"
                                                       "LBStickyStore redis://127.0.0.1:1"))
    assert told(server, cookie=f"JSESSIONID={ID}")[2] == (
        "  learned   the session id has not been learned; a request would ask the store")
    # Who names a member does not need it, not even where that one cannot serve.
    server.manager("mycluster", server.report()["workers"][0]["url"], w_status_D="1")
    assert told(server, cookie=f"JSESSIONID={ID}; lbsticky_mycluster=.node1")[2] == (
        "  learned   the session id has not been learned")
    assert server.report()["learned"]["store"]["failures"] == 0


@pytest.mark.parametrize("line", ["JSESSIONID route=learn", "header:X-Session route=append", '"expr:%{HTTP:X-Id}"'])
def test_where_no_answer_has_an_id_without_a_route_no_cookie_is_spoken_of(httpd, backends, line):
    members = backends(2)
    for member in members:
        member.headers = [("Set-Cookie", f"JSESSIONID={ID}"), ("X-Session", ID), ("X-Id", ID)]
    server = httpd(site(with_routes(members), more=f"LBStickySession {line}"))
    assert not any("cookie lbsticky" in line for line in told(server) if line.startswith("is given"))
    assert not any(cookie.startswith("lbsticky") for cookie in server.curl().set_cookies)


def test_what_is_appended(httpd, backends):
    server = httpd(site(with_routes(backends(2)), more="LBStickySession JSESSIONID route=append"))
    assert told(server, cookie=f"JSESSIONID={ID}.node2") == [
        "> route     JSESSIONID=0123...(22), node2: NODE2 (usable)", "goes to   NODE2, route node2",
        "is given  the route node2, behind each session id that is to have one appended"]


# -- it changes nothing -----------------------------------------------------------------------------------------------


def test_no_ticket_is_drawn_and_nothing_counted_and_nobody_asked(httpd, backends):
    members = backends(3)
    server = httpd(site([line + f"loadfactor={n}" for n, line in enumerate(with_routes(members), 1)],
                        more=f"{NAMES}\nLBStickySlowStart 5h"))
    before = server.report()
    cookies = [None, f"JSESSIONID={ID}", f"JSESSIONID={ID}.node2", "lbsticky_mycluster=.node1",
               "lbsticky_mycluster=.nobody"]
    answers = [{json.dumps(server.explain(cookie=cookie)) for _ in range(6)} for cookie in cookies]
    assert [len(some) for some in answers] == [1] * len(cookies)
    assert server.report() == before and not server.decisions()
    assert [member.requests for member in members] == [[]] * 3


def test_turns_are_told_before_they_are_taken_also_those_of_members_that_recover(httpd, backends):
    members = with_routes(backends(3))
    server = httpd(site([members[0] + "loadfactor=5", members[1] + "loadfactor=2", members[2]],
                        more=f"{NAMES}\nLBStickySlowStart 5h from=30%\nLBStickyCookie off"), processes=1)
    for url in (server.report()["workers"][0]["url"], server.report()["workers"][1]["url"]):
        server.manager("mycluster", url, w_status_D="1")
        server.curl()
        server.manager("mycluster", url, w_status_D="0")
    told_before, served = [], []
    for _ in range(40):
        told_before.append(server.explain()["member"])
        served.append(server.curl().worker)
    assert told_before == served and len(set(served)) == 3


def test_a_member_whose_time_in_error_is_over_is_left_for_a_request_to_try(httpd, backends):
    members = backends(2)
    server = httpd(site([line + "retry=1" for line in with_routes(members)]), expected=BACKEND_IS_DOWN)
    members[0].stop()
    assert server.curl(cookie=f"{SESSION}.node1").affinity == "failover"
    members[0].start()
    due = "> route     JSESSIONID=1234...(11), node1: NODE1 (in error, but retry= is over: this request tries it)"
    wait_until(lambda: told(server, cookie=f"{SESSION}.node1")[0] == due, "its time in error is over")
    asked_before = len(members[0].requests)
    for _ in range(5):
        assert told(server, cookie=f"{SESSION}.node1")[0] == due
    assert len(members[0].requests) == asked_before
    assert "in_error" in server.report()["workers"][0]["status"]
    answer = server.curl(cookie=f"{SESSION}.node1")
    assert (answer.affinity, answer.body) == ("route", "backend1")


def test_a_session_that_is_only_asked_about_is_forgotten_all_the_same(httpd, backends):
    server = httpd(site(with_routes(backends(1)),
                        more="LBStickySession JSESSIONID route=learn\nLBStickyTable idle=2s\nLBStickyCookie off"))
    server.curl(cookie=f"JSESSIONID={ID}")
    assert server.explain(cookie=f"JSESSIONID={ID}")["affinity"] == "learned"
    wait_until(lambda: server.explain(cookie=f"JSESSIONID={ID}")["affinity"] == "hash", "it is forgotten")


# -- who may see what, and what is refused ----------------------------------------------------------------------------


def test_session_ids_are_never_shown_whole_nor_passwords_nor_tokens(httpd, backends, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("a secret of at least thirty-two characters\n")
    secret.chmod(0o600)
    [member] = backends(1)
    url = member.url.replace("//", "//me:sesame@")
    server = httpd(site([f"{url} route=node1"], more=f"LBStickySession JSESSIONID route=append\nLBStickySession other\n"
                                                     f"LBStickySecretFile {secret}\nLBStickyCookie SRV"))
    [token] = [re.match("SRV=([^;]*)", cookie)[1] for cookie in server.curl().set_cookies]
    for cookie in (None, f"JSESSIONID={ID}", f"other={ID}", f"other={ID}.node1", f"JSESSIONID={ID}.{token}",
                   "SRV=" + token):
        for form in ("", "&format=json"):
            body = asked(server, f"explain=mycluster{form}", cookie=cookie).body
            assert member.url.removeprefix("http://") in body
            assert not [text for text in (ID, "sesame", token) if text in body]
    assert "cookie SRV=(a token)\n" in asked(server, "explain=mycluster").body
    assert "SRV names" in asked(server, "explain=mycluster", cookie="SRV=" + token).body


def test_what_a_client_wrote_begins_no_line_and_breaks_no_JSON(httpd, backends):
    server = httpd(site(with_routes(backends(1)), more="LBStickySession header:X-Id"))
    header = 'X-Id: "\\\t\x9b<b>b'.encode("latin-1")  # httpd itself takes no other control character
    lines = told(server, "--header", header)
    assert lines[0].startswith('  route     header:X-Id="\\??...(8)') and len(lines) == 5
    assert json.loads(asked(server, "explain=mycluster&format=json", "--header", header).body)["affinity"] == "hash"


def test_a_virtual_host_is_asked_about_its_own_balancers_and_the_main_servers(httpd, backends):
    one, two, three = (member.url for member in backends(3))

    def balancer(name, url):
        return f'<Proxy "balancer://{name}">\nBalancerMember {url} route=x\nProxySet lbmethod=sticky\n</Proxy>\n'

    server = httpd(STATUS + balancer("shared", three) + balancer("mycluster", one) +
                   host(balancer("own", two), STATUS, PASS, name="one.example")
                   + host(STATUS, PASS, name="two.example"))

    def member(name, at):
        answer = asked(server, f"explain={name}&format=json", "--header", f"Host: {at}")
        return json.loads(answer.body)["member"] if answer.status == 200 else answer.status

    assert [member(name, "one.example") for name in ("own", "mycluster", "shared")] == [two, one, three]
    assert [member(name, "two.example") for name in ("own", "mycluster", "shared")] == [404, one, three]


def test_what_is_no_such_question(httpd, backends):
    members = backends(1)
    server = httpd(site(with_routes(members)) + cluster(members[0].url, settings="lbmethod=byrequests", name="other",
                                                        path="/other"))
    for query, status, line in [
            ("explain=nobody", 404, "there is no such balancer with this method"),
            ("explain=other", 404, "there is no such balancer with this method"),
            ("explain=", 404, "there is no such balancer with this method"),
            ("explain=mycluster&url=cart", 400, "url= is a path and perhaps a query: it begins with /"),
            ("explain=mycluster&url=", 400, "url= is a path and perhaps a query: it begins with /"),
            ("explain=mycluster&format=xml", 400, "format= can be json; without it the answer is text")]:
        answer = asked(server, query)
        assert (answer.status, answer.body) == (status, line + "\n")
    assert asked(server, "explain=balancer://mycluster").status == 200


def test_json_says_the_same(httpd, backends):
    server = httpd(site(with_routes(backends(2))))
    answer = asked(server, "explain=mycluster&format=json", cookie=f"JSESSIONID={ID}.node2")
    assert answer.header("Content-Type") == "application/json"
    assert json.loads(answer.body) == {
        "balancer": "balancer://mycluster", "affinity": "route", "member": server.report()["workers"][1]["url"],
        "route": "node2",
        "steps": [{"line": "route", "decides": True,
                   "text": f"JSESSIONID=0123...(22), node2: {server.report()['workers'][1]['url']} (usable)"}],
        "unless": [], "given": [where_needed(2).removeprefix("is given  ")]}
