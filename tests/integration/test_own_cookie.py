"""The balancer's own cookie: sticky for any backend, with one word of configuration."""

import base64
import collections
import concurrent.futures
import os
import re
import socket

import pytest

from application import KINDS, Application
from server import BACKEND_IS_DOWN, RESOLVERS, Client, by_either, cluster, wait_until, with_routes
from test_decision_table import NOBODY_CAN_SERVE
from test_graceful_restart import restart
from test_protocols import MEGABYTE, FastCgi, by_http2, site_of_a_kind, two_responders, websocket_backends

NAME = "lbsticky_mycluster"


def naming(number):
    """The cookie as a client of that member sends it."""
    return f"{NAME}=.node{number}"


def given(number):
    """The Set-Cookie headers of a response that gives a client of that member its cookie."""
    return [f"{naming(number)}; Path=/; HttpOnly; SameSite=Lax"]


def number_of(answer):
    """Which backend has answered."""
    return int(answer.body.removeprefix("backend"))


def test_one_word_of_configuration_makes_any_backend_sticky(httpd, backends):
    a, b = backends(2)
    server = httpd(cluster(a.url, b.url))
    first = server.curl()
    (cookie,) = first.set_cookies
    assert re.fullmatch(r"lbsticky_mycluster=\.[0-9a-f]{16}; Path=/; HttpOnly; SameSite=Lax", cookie)
    for _ in range(6):
        again = server.curl(cookie=cookie.split(";")[0])
        assert (again.body, again.affinity, again.set_cookies) == (first.body, "cookie", [])


# -- several balancers of one site --------------------------------------------------------------------------------


def test_two_balancers_of_one_site_do_not_disturb_each_other(httpd, backends, tmp_path):
    shop, blog = backends(3), backends(3)
    server = httpd(cluster(*(backend.url for backend in shop), name="shop", path="/shop")
                   + cluster(*(backend.url for backend in blog), name="blog", path="/blog"))
    server.bodies(2, path="/blog")
    client = Client(tmp_path)
    reached = collections.defaultdict(set)
    for _ in range(6):
        for path in ("/shop", "/blog"):
            reached[path].add(client.curl(server, path).body)
            server.bodies(1, path=path)
    assert [len(bodies) for bodies in reached.values()] == [1, 1]


def test_balancers_with_the_same_cookie_and_routes_share_their_clients(httpd, backends, tmp_path):
    pages, interface = backends(3), backends(3)
    server = httpd(cluster(*with_routes(pages), name="pages", path="/pages", more="LBStickyCookie site")
                   + cluster(*with_routes(interface), name="interface", path="/api", more="LBStickyCookie site"))
    for n in range(4):
        client = Client(tmp_path, f"jar{n}")
        page = number_of(client.curl(server, "/pages"))
        answer = client.curl(server, "/api")
        assert (number_of(answer), answer.affinity, answer.set_cookies) == (page + 3, "cookie", [])


# -- applications that keep their sessions in their own memory ----------------------------------------------------


@pytest.fixture
def site(httpd):
    """site(kind, stickysession=…, more=…): a server in front of three such applications."""
    running = []

    def start(kind, resolver, more=""):
        running.extend(Application(kind, f"node{number}") for number in (1, 2, 3))
        name, _ = KINDS[kind]
        options = {key: value.replace("JSESSIONID", name) for key, value in resolver.items()}
        options["more"] = f"{options.get('more', '')}\n{more}"
        return httpd(cluster(*with_routes(running), **options))

    yield start
    for application in running:
        application.stop()


def names_set(answer):
    return [cookie.split("=")[0] for cookie in answer.set_cookies]


@by_either
@pytest.mark.parametrize("kind", KINDS)
def test_the_counter_of_a_session_never_goes_back(site, tmp_path, kind, resolver):
    server = site(kind, resolver)
    for n in range(3):
        client = Client(tmp_path, f"jar{n}")
        counters = []
        for _ in range(7):
            counters.append(client.curl(server).body)
            server.bodies(1)  # somebody else
        assert counters == ["1", "2", "3", "4", "5", "6", "7"]


GIVEN_WITH_THE_SESSION = {"PHP": ["PHPSESSID", NAME], "Express": ["connect.sid", NAME], "Tomcat": ["JSESSIONID"]}


@by_either
@pytest.mark.parametrize("kind, names", GIVEN_WITH_THE_SESSION.items(), ids=GIVEN_WITH_THE_SESSION)
def test_auto_gives_a_cookie_beside_a_session_whose_id_has_no_route(site, tmp_path, kind, names, resolver):
    server = site(kind, resolver, "LBStickyCookie auto")
    client = Client(tmp_path)
    assert names_set(client.curl(server)) == names
    assert names_set(client.curl(server)) == []


@by_either
@pytest.mark.parametrize("session, names", [("12345", ["JSESSIONID", NAME]), ("12345.node1", ["JSESSIONID"])],
                         ids=["an id without a route", "an id with the route"])
def test_auto_looks_at_the_session_that_a_fastcgi_application_gives(httpd, cleanup, resolver, session, names):
    kind = type("Application", (FastCgi,), {"headers": f"Set-Cookie: JSESSIONID={session}; Path=/\r\n"})
    members = [f"fcgi://127.0.0.1:{port} route=node{n}" for n, port in enumerate(two_responders(kind, cleanup), 1)]
    server = httpd(cluster(*members, **resolver), modules=["proxy_fcgi"])
    assert names_set(server.curl()) == names
    assert names_set(server.curl(cookie="JSESSIONID=old")) == names


# What the client has, what the member gives, whether the session then has no known route: by LBStickySession A B.
SEVERAL_SESSIONS = [
    (None, ["A=x", "B=y.node1"], True),
    (None, ["A=x.node1", "B=y"], False),
    (None, ["B=y"], True),
    (None, ["B=y.node1"], False),
    (None, ["A=x.node1", "A=x"], True),
    ("A=x", ["B=y.node1"], True),
    ("A=x.node1", ["B=y"], False),
    ("B=y", ["A=x.node1"], False),
    ("B=y", [], True),
]


@pytest.mark.parametrize("sent, answered, needed", SEVERAL_SESSIONS)
def test_auto_looks_at_the_session_that_the_clients_next_request_will_have(httpd, backends, sent, answered, needed):
    (a,) = backends(1)
    a.headers = [("Set-Cookie", cookie) for cookie in answered]
    server = httpd(cluster(*with_routes([a]), more="LBStickySession A B"))
    assert (NAME in names_set(server.curl(cookie=sent))) == needed


@by_either
@pytest.mark.parametrize("kind", KINDS)
def test_off_gives_no_cookie_to_anyone(site, kind, resolver):
    server = site(kind, resolver, "LBStickyCookie off")
    name, _ = KINDS[kind]
    assert names_set(server.curl()) == [name]
    assert names_set(server.curl(cookie=f"{name}=unknown")) == [name]
    assert names_set(server.curl(cookie=f"{name}=x.node2; {naming(1)}")) == [name]


@by_either
@pytest.mark.parametrize("kind", KINDS)
def test_a_name_gives_a_cookie_to_everyone(site, kind, resolver):
    server = site(kind, resolver, "LBStickyCookie mine")
    name, _ = KINDS[kind]
    assert names_set(server.curl()) == [name, "mine"]
    assert names_set(server.curl(cookie=f"{name}=x.node2")) == [name, "mine"]


@by_either
def test_auto_gives_none_to_a_client_without_a_session(httpd, backends, resolver):
    server = httpd(cluster(*with_routes(backends(2)), **resolver))
    assert server.curl().set_cookies == []


@by_either
@pytest.mark.parametrize("session", ["JSESSIONID=12345", "JSESSIONID=12345.gone"], ids=["no route", "an unknown route"])
def test_auto_gives_one_to_a_client_whose_session_came_without_a_known_route(httpd, backends, resolver, session):
    server = httpd(cluster(*with_routes(backends(3)), **resolver))
    answer = server.curl(cookie=session)
    assert (answer.affinity, answer.set_cookies) == ("hash", given(number_of(answer)))
    again = server.curl(cookie=f"{session}; {naming(number_of(answer))}")
    assert (again.affinity, again.set_cookies, again.body) == ("cookie", [], answer.body)


@by_either
@pytest.mark.parametrize("cookie", ["JSESSIONID=67890.node1; Path=/", 'JSESSIONID="67890.node1"'])
def test_auto_gives_none_to_a_client_whose_new_session_carries_the_route(httpd, backends, resolver, cookie):
    (a,) = backends(1)
    a.headers = [("Set-Cookie", cookie)]
    server = httpd(cluster(*with_routes([a]), **resolver))
    for sent in ("JSESSIONID=12345", "JSESSIONID=12345.gone"):
        assert names_set(server.curl(cookie=sent)) == ["JSESSIONID"]


# -- when a response carries it -----------------------------------------------------------------------------------

# What the client sends, beside nothing.
NOT_UNDERSTOOD = {
    "an unknown route": f"{NAME}=.gone",
    "no value": f"{NAME}=",
    "a dot": f"{NAME}=.",
    "a route that is too long": f"{NAME}=.node12",
    "a route in other letters": f"{NAME}=.NODE1",
    "another dot": f"{NAME}=..node1",
    "a blank in the route": f"{NAME}=. node1",
}


def test_a_first_visit_is_given_it(httpd, backends):
    server = httpd(cluster(*with_routes(backends(2))))
    for _ in range(4):
        answer = server.curl()
        assert answer.set_cookies == given(number_of(answer))


@pytest.mark.parametrize("cookie", NOT_UNDERSTOOD.values(), ids=NOT_UNDERSTOOD)
def test_a_client_with_a_value_that_is_not_understood_is_given_it(httpd, backends, cookie):
    server = httpd(cluster(*with_routes(backends(2))))
    answer = server.curl(cookie=cookie)
    assert (answer.affinity, answer.set_cookies) == ("new", given(number_of(answer)))
    server.graceful()
    assert server.own_cookies() == (1, 1)


UNDERSTOOD = {
    "as it was given": naming(2),
    "without the dot": f"{NAME}=node2",
    "in quotes": f'{NAME}=".node2"',
    "among others": f"a=b; {naming(2)}; c=d",
    "after one that is not": f"{NAME}=.gone; {naming(2)}",
    "before one that is not": f"{naming(2)}; {NAME}=.gone",
}


@pytest.mark.parametrize("cookie", UNDERSTOOD.values(), ids=UNDERSTOOD)
def test_a_client_whose_cookie_names_the_member_is_given_none(httpd, backends, cookie):
    server = httpd(cluster(*with_routes(backends(2))))
    for _ in range(3):
        answer = server.curl(cookie=cookie)
        assert (answer.body, answer.affinity, answer.set_cookies) == ("backend2", "cookie", [])
    server.graceful()
    assert server.own_cookies() == (0, 0)


def test_a_client_whose_member_was_removed_is_given_the_cookie_of_another(httpd, backends):
    members = with_routes(backends(3))
    server = httpd(cluster(*members))
    assert server.curl(cookie=naming(2)).set_cookies == []
    restart(server, cluster(members[0], members[2]))
    answer = server.curl(cookie=naming(2))
    assert number_of(answer) in (1, 3)
    assert (answer.affinity, answer.set_cookies) == ("new", given(number_of(answer)))
    server.graceful()
    assert server.own_cookies() == (1, 1)


def test_a_client_whose_member_has_another_route_now_is_given_a_new_one(httpd, backends):
    a, b = backends(2)
    server = httpd(cluster(*with_routes([a, b])))
    server.manager("mycluster", a.url, w_wr="renamed")
    (renamed,) = (cookie.replace("node1", "renamed") for cookie in given(1))
    answer = server.curl(cookie=f"{NAME}=.renamed")
    assert (answer.body, answer.affinity, answer.set_cookies) == ("backend1", "cookie", [])
    for _ in range(2):
        answer = server.curl(cookie=naming(1))
        assert (answer.affinity, answer.set_cookies) == ("new", [renamed] if answer.body == "backend1" else given(2))


WAYS_TO_THE_BALANCER = {
    "ProxyPass": "ProxyPass /app balancer://mycluster",
    "RewriteRule": "RewriteEngine On\nRewriteRule ^/app/(.*) balancer://mycluster/$1 [P]",
    "SetHandler": "<Location /app>\nSetHandler proxy:balancer://mycluster\n</Location>",
}


@pytest.mark.parametrize("way", WAYS_TO_THE_BALANCER.values(), ids=WAYS_TO_THE_BALANCER)
def test_it_is_given_whichever_way_requests_come_to_the_balancer(httpd, backends, way):
    server = httpd(way + cluster(*with_routes(backends(2)), path="/other"))
    answer = server.curl("/app/")
    assert (answer.status, answer.set_cookies) == (200, given(number_of(answer)))
    assert server.curl("/app/", cookie=naming(2)).affinity == "cookie"


@pytest.mark.parametrize("status", [201, 301, 302, 304, 307, 401, 404, 410, 500, 502, 503])
def test_it_comes_with_whatever_status_a_member_answers(httpd, backends, status):
    (a,) = backends(1)
    a.status, a.headers = status, [("Location", "/elsewhere")]
    server = httpd(cluster(*with_routes([a])))
    answer = server.curl()
    assert (answer.status, answer.set_cookies) == (status, given(1))
    assert server.curl(cookie=naming(1)).set_cookies == []


def test_the_members_own_cookies_stay_as_they_are_and_in_order(httpd, backends):
    (a,) = backends(1)
    own = ["b=2; Path=/x; Secure", "a=1", "b=3;Expires=Wed, 01 Jan 2098 00:00:00 GMT", f"x{NAME}=4", "a=1", "odd", ""]
    a.headers = [("Set-Cookie", value) for value in own]
    server = httpd(cluster(*with_routes([a])))
    assert server.curl().set_cookies == own + given(1)
    assert server.curl(cookie=naming(1)).set_cookies == own


# What the site does: lines of its configuration.
NO_MEMBERS_PAGE = {
    "httpd's own page": "",
    "a text": 'ErrorDocument 503 "Sorry"',
    "a file": "ErrorDocument 503 /sorry/page",
    "a redirect": "ErrorDocument 503 http://127.0.0.1/sorry",
}
UPGRADE = "--header", "Connection: Upgrade", "--header", "Upgrade: websocket"


@pytest.fixture
def page(open_folder):
    """The configuration that serves /sorry/page, which reads "A page", from a file."""
    (open_folder / "page").write_text("A page")
    return f"""
        Alias /sorry {open_folder}
        ProxyPass /sorry !
        <Directory {open_folder}>
            Require all granted
        </Directory>
    """


@pytest.mark.parametrize("arguments", [(), UPGRADE], ids=["a request", "an upgrade"])
@pytest.mark.parametrize("document", NO_MEMBERS_PAGE.values(), ids=NO_MEMBERS_PAGE)
def test_a_503_of_httpds_own_carries_none(httpd, backends, page, document, arguments):
    members = backends(2)
    server = httpd(page + document + cluster(*with_routes(members)), expected=BACKEND_IS_DOWN + NOBODY_CAN_SERVE)
    for member in members:
        member.stop()
    for cookie in (None, None, None, naming(1), f"{NAME}=.gone"):
        answer = server.curl("/", *arguments, cookie=cookie)
        assert (answer.status, answer.set_cookies) == (302 if "http:" in document else 503, [])
    server.graceful()
    assert server.own_cookies()[0] == 0


@pytest.mark.parametrize("document", ["", 'ErrorDocument 404 "Sorry"', "ErrorDocument 404 /sorry/page"],
                         ids=["httpd's own page", "a text", "a file"])
def test_a_page_of_httpds_own_instead_of_the_members_carries_none(httpd, backends, page, document):
    (a,) = backends(1)
    a.status = 404
    server = httpd(f"ProxyErrorOverride On\n{document}\n" + page + cluster(*with_routes([a])))
    for arguments in ((), UPGRADE):
        answer = server.curl("/", *arguments)
        assert (answer.status, answer.set_cookies) == (404, [])
        assert answer.body != "backend1"


def test_a_redirect_of_httpds_own_carries_none(httpd, backends):
    server = httpd("RewriteEngine On\nRewriteRule ^/old$ /new [R]\n" + cluster(*with_routes(backends(2))))
    answer = server.curl("/old")
    assert (answer.status, answer.set_cookies) == (302, [])


@pytest.fixture(params=["mod_cache_disk", "mod_cache_socache"])
def cache(request, open_folder):
    """(configuration, modules) of a cache."""
    if request.param == "mod_cache_socache":
        return "CacheEnable socache /\nCacheSocache shmcb\n", ["cache", "cache_socache", "socache_shmcb"]
    folder = open_folder / "cache"
    folder.mkdir()
    folder.chmod(0o777)
    return f"CacheEnable disk /\nCacheRoot {folder}\n", ["cache", "cache_disk"]


@pytest.mark.parametrize("quick", ["On", "Off"], ids=["quick handler", "normal handler"])
def test_a_cache_hands_on_no_clients_cookie(httpd, backends, cache, quick):
    members = backends(2)
    configuration, modules = cache
    server = httpd(f"{configuration}CacheQuickHandler {quick}\nCacheHeader On\nCacheIgnoreNoLastMod On\n"
                   + cluster(*with_routes(members)), modules=modules)
    for member in members:
        member.headers = [("Cache-Control", "max-age=600"), ("Set-Cookie", "theirs=1")]
    first = server.curl("/page")
    assert (first.header("X-Cache")[:4], first.set_cookies) == ("MISS", ["theirs=1"] + given(number_of(first)))
    for cookie in (None, naming(1), naming(2), f"{NAME}=.gone"):
        hit = server.curl("/page", cookie=cookie)
        assert (hit.header("X-Cache")[:3], hit.body, hit.set_cookies) == ("HIT", first.body, ["theirs=1"])
    other = server.curl("/other")
    assert other.set_cookies == ["theirs=1"] + given(number_of(other))


def test_a_stored_response_that_the_member_confirms_carries_it(httpd, backends, cache):
    (a,) = backends(1)
    a.headers = [("Cache-Control", "max-age=0"), ("ETag", '"1"'), ("Last-Modified", "Mon, 01 Jan 2024 00:00:00 GMT")]
    configuration, modules = cache
    server = httpd(f"{configuration}CacheHeader On\n" + cluster(*with_routes([a])), modules=modules)
    assert server.curl("/page").set_cookies == given(1)
    a.status = 304
    for cookie, set_cookies in ((None, given(1)), (naming(1), []), (None, given(1))):
        answer = server.curl("/page", cookie=cookie)
        assert (answer.header("X-Cache")[:10], answer.set_cookies) == ("REVALIDATE", set_cookies)


def test_an_error_page_that_another_balancer_serves_carries_the_cookie_of_that(httpd, backends):
    a, b, c = backends(3)
    server = httpd("ErrorDocument 503 /sorry\n"
                   + cluster(*with_routes([b, c]), name="sorry", path="/sorry", more="LBStickyCookie mine")
                   + cluster(f"{a.url} route=nodeA", more="LBStickyCookie mine"),
                   expected=BACKEND_IS_DOWN + NOBODY_CAN_SERVE)
    a.stop()
    for number in (1, 2, 2, 1):
        answer = server.curl(cookie=f"mine=.node{number}")
        assert (answer.body, answer.affinity, answer.set_cookies) == (f"backend{number + 1}", "cookie", [])
    assert server.curl(cookie="mine=.nodeA").set_cookies[0].startswith("mine=.node")


@pytest.mark.parametrize("quick", ["On", "Off"])
def test_what_a_cache_holds_for_a_clients_cookies_it_finds_again(httpd, backends, cache, quick):
    (a,) = backends(1)
    a.headers = [("Cache-Control", "max-age=600"), ("Vary", "Cookie")]
    configuration, modules = cache
    server = httpd(f"{configuration}CacheQuickHandler {quick}\nCacheHeader On\n" + cluster(*with_routes([a])),
                   modules=modules)
    cookie = f"a=1; {naming(1)}"
    hits = [server.curl("/page", cookie=cookie).header("X-Cache")[:4] for _ in range(3)]
    assert hits == ["MISS", "HIT ", "HIT "]
    assert server.curl("/page", cookie="a=2").header("X-Cache")[:4] == "MISS"


# -- a member that sets a cookie of that name ---------------------------------------------------------------------

FOREIGN = [r"has a cookie lbsticky_mycluster, which is the name of the balancer's own"]


def told_of_foreign_cookies(server):
    return len(re.findall(r"\[lbmethod_sticky:notice\].*" + FOREIGN[0], server.log()))


def test_a_cookie_of_that_name_that_a_member_sets_does_not_reach_the_client(httpd, backends):
    a, b = backends(2)
    for member in (a, b):
        member.headers = [("Set-Cookie", f"{NAME}=.n7; Path=/"), ("Set-Cookie", f"{NAME}x=1"), ("Set-Cookie", "b=2")]
    configuration = cluster(*with_routes([a, b]))
    server = httpd(configuration, processes=4)
    others = [f"{NAME}x=1", "b=2"]
    for _ in range(8):
        assert server.curl(cookie=naming(2)).set_cookies == others
        first = server.curl()
        assert first.set_cookies == [*others, *given(number_of(first))]
    upgrade = ["--header", "Connection: Upgrade", "--header", "Upgrade: x"]
    assert server.curl("/", *upgrade, cookie=naming(2)).set_cookies == others
    assert told_of_foreign_cookies(server) == 1, "it is told once"
    restart(server, configuration)
    server.curl()
    server.curl()
    assert told_of_foreign_cookies(server) == 2, "and once again after a start"


def test_a_proxy_behind_a_proxy_with_a_balancer_of_the_same_name_sticks_all_the_same(httpd, backends, tmp_path):
    """And with another name, as the log advises, both tiers stick and nobody is told anything."""
    for more, told in (("", 1), ("LBStickyCookie inner", 0)):
        members = backends(4)
        inner = [httpd(cluster(*with_routes(members[start:start + 2]), more=more)) for start in (0, 2)]
        outer = httpd(cluster(*(f"{server.url} route=tier{n}" for n, server in enumerate(inner, 1))))
        client = Client(tmp_path, f"jar{told}")
        bodies = [client.curl(outer).body for _ in range(6)]
        if not told:
            assert len(set(bodies)) == 1
        assert len({number_of(answer) > 2 for answer in [client.curl(outer) for _ in range(6)]}) == 1
        assert told_of_foreign_cookies(outer) == told


def test_a_deletion_of_the_session_is_none_and_earns_no_cookie(httpd, backends):
    a, b = backends(2)
    server = httpd(cluster(*with_routes([a, b]), more="LBStickySession PHPSESSID"))
    for deletion in ("deleted; Max-Age=0", "deleted; expires=Thu, 01-Jan-1970 00:00:01 GMT", '""; path=/', "",
                     "deleted; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0", "x; Max-Age=-5; path=/",
                     "x; expires=Wed, 09 Jun 2021 10:18:14 GMT", "x; expires=Sunday, 06-Nov-94 08:49:37 GMT"):
        for member in (a, b):
            member.headers = [("Set-Cookie", f"PHPSESSID={deletion}")]
        for cookie in (None, "PHPSESSID=" + "x" * 32):
            assert server.curl(cookie=cookie).set_cookies == [f"PHPSESSID={deletion}"], deletion
    for session in ("x" * 32, "x" * 32 + "; Max-Age=60", "x; expires=Wed, 09 Jun 2099 10:18:14 GMT",
                    "x; expires=Thu, 01-Jan-1998 00:00:01 GMT; Max-Age=60", "x; expires=soon"):
        for member in (a, b):
            member.headers = [("Set-Cookie", f"PHPSESSID={session}")]
        answer = server.curl()
        assert answer.set_cookies == [f"PHPSESSID={session}", *given(number_of(answer))], session


# -- what the member sees -----------------------------------------------------------------------------------------

# The Cookie header of the client, and of the member.
STRIPPED = {
    "alone": (naming(2), None),
    "at the beginning": (f"{naming(2)}; a=1; b=2", "a=1; b=2"),
    "in the middle": (f"a=1; {naming(2)}; b=2", "a=1; b=2"),
    "at the end": (f"a=1; b=2; {naming(2)}", "a=1; b=2"),
    "several": (f"{NAME}=x; a=1; {naming(2)}; b=2; {NAME}=", "a=1; b=2"),
    "nothing but several": (f"{NAME}=x; {naming(2)}", None),
    "odd spacing": (f"x=1;  y=\"2\"; {naming(2)}; z=3", 'x=1;  y="2"; z=3'),
    "in quotes": (f'a=1; {NAME}=".node2"; b=2', "a=1; b=2"),
    "not understood": (f"a=1; {NAME}=.gone; b=2", "a=1; b=2"),
    "similar names": (f"x{NAME}=1; {naming(2)}; {NAME}x=2; {NAME.upper()}=3",
                      f"x{NAME}=1; {NAME}x=2; {NAME.upper()}=3"),
    "bytes beyond ASCII": (f"a=\xe9; {naming(2)}; b=\xff", "a=\xe9; b=\xff"),
    "none of ours": ("a=1;b=2 ;; c", "a=1;b=2 ;; c"),
}


@pytest.mark.parametrize("sent, seen", STRIPPED.values(), ids=STRIPPED)
def test_the_member_does_not_see_the_balancers_cookie(httpd, backends, sent, seen):
    members = backends(2)
    server = httpd(cluster(*with_routes(members)))
    server.curl("/", "--header", f"Cookie: {sent}".encode("latin-1"))
    (request,) = members[0].requests + members[1].requests
    assert request[2].get_all("Cookie") == (seen and [seen])


def test_it_is_found_and_removed_where_the_client_sends_several_headers(httpd, backends):
    members = backends(2)
    server = httpd(cluster(*with_routes(members)))
    answer = server.curl("/", *("--header", "Cookie: a=1"), *("--header", f"Cookie: {naming(2)}"),
                         *("--header", "Cookie: b=2"))
    assert (answer.body, answer.affinity, answer.set_cookies) == ("backend2", "cookie", [])
    assert members[1].requests[-1][2].get_all("Cookie") == ["a=1, b=2"]


def test_headers_that_other_modules_add_reach_the_member_as_they_are(httpd, backends):
    members = backends(2)
    server = httpd('RequestHeader add Cookie "internal=1"\nRequestHeader add Cookie "and=2"\n'
                   'LogFormat "%{Cookie}i" cookies\nCustomLog access.log cookies\n'
                   + cluster(*with_routes(members)))
    answer = server.curl(cookie=f"a=b; {naming(2)}")
    assert (answer.body, answer.affinity) == ("backend2", "cookie")
    # mod_proxy_http joins what is left of them.
    assert ", ".join(members[1].requests[-1][2].get_all("Cookie")).split(", ") == ["a=b", "internal=1", "and=2"]
    server.curl(cookie=naming(1))
    assert ", ".join(members[0].requests[-1][2].get_all("Cookie")).split(", ") == ["internal=1", "and=2"]
    log = server.folder / "access.log"
    wait_until(lambda: log.read_text().splitlines() == [f"a=b; {naming(2)}", naming(1)], "the log has what was sent")


def test_it_is_found_in_a_header_that_another_module_adds(httpd, backends):
    members = backends(2)
    server = httpd(f'RequestHeader add Cookie "{naming(2)}"\n' + cluster(*with_routes(members)))
    assert [server.curl(cookie="a=b").body for _ in range(3)] == ["backend2"] * 3
    assert members[1].requests[-1][2].get_all("Cookie") == ["a=b"]


def test_with_off_the_member_sees_every_cookie(httpd, backends):
    (a,) = backends(1)
    server = httpd(cluster(*with_routes([a]), more="LBStickyCookie off"))
    server.curl(cookie=f"a=1; {naming(1)}")
    assert a.requests[-1][2]["Cookie"] == f"a=1; {naming(1)}"


def test_the_next_member_does_not_see_it_either(httpd, backends):
    a, b = backends(2)
    server = httpd(cluster(*with_routes([a, b], "retry=0")), expected=BACKEND_IS_DOWN)
    a.stop()
    server.curl(cookie=f"a=1; {naming(1)}; b=2")
    assert b.requests[-1][2].get_all("Cookie") == ["a=1; b=2"]


def test_the_access_log_shows_the_cookies_as_the_client_sent_them(httpd, backends):
    a, b = backends(2)
    server = httpd('LogFormat "%{Cookie}i" cookies\nCustomLog access.log cookies\n'
                   + cluster(*with_routes([a, b])), expected=BACKEND_IS_DOWN)
    sent = [f"a=1;  {naming(2)}; b=2", naming(1), f"{NAME}=.gone", "c=3"]
    a.stop()
    for cookie in sent:
        server.curl(cookie=cookie)
    log = server.folder / "access.log"
    wait_until(lambda: log.read_text().splitlines() == sent, "the access log has the cookies")


# -- failover and draining ----------------------------------------------------------------------------------------


def test_a_client_whose_member_died_is_given_the_cookie_of_the_next(httpd, backends):
    a, b = backends(2)
    server = httpd(cluster(*with_routes([a, b])), expected=BACKEND_IS_DOWN)
    a.stop()
    answer = server.curl(cookie=naming(1))
    assert (answer.body, answer.affinity, answer.set_cookies) == ("backend2", "failover", given(2))


def test_a_client_that_has_moved_stays_where_it_is_when_its_first_member_is_back(httpd, backends, tmp_path):
    a, b, c = backends(3)
    server = httpd(cluster(*with_routes([a, b, c], "retry=0")), expected=BACKEND_IS_DOWN)
    client = Client(tmp_path)
    first = number_of(client.curl(server)) - 1
    (a, b, c)[first].stop()
    second = client.curl(server)
    assert second.affinity == "failover"
    (a, b, c)[first].start()
    for _ in range(3):
        answer = client.curl(server)
        assert (answer.body, answer.affinity, answer.set_cookies) == (second.body, "cookie", [])


def test_requests_that_a_client_sends_in_parallel_agree_on_the_next_member(httpd, backends):
    members = backends(5)
    server = httpd(cluster(*with_routes(members, "retry=600")), expected=BACKEND_IS_DOWN)
    members[2].stop()
    with concurrent.futures.ThreadPoolExecutor(8) as clients:
        answers = list(clients.map(lambda _: server.curl(cookie=naming(3)), range(24)))
    (next_member,) = {answer.body for answer in answers}
    assert all(answer.set_cookies == given(int(next_member[-1])) for answer in answers)


@by_either
def test_a_session_without_a_route_moves_as_a_whole_when_its_member_dies(httpd, backends, resolver):
    members = backends(4)
    server = httpd(cluster(*with_routes(members), **resolver), expected=BACKEND_IS_DOWN)
    members[1].stop()
    moved = [server.curl(cookie=f"{naming(2)}; JSESSIONID=12345") for _ in range(4)]
    (next_member,) = {number_of(answer) for answer in moved}
    assert all((answer.affinity, answer.set_cookies) == ("failover", given(next_member)) for answer in moved)


def test_a_cookie_whose_member_is_disabled_leads_to_another(httpd, backends):
    server = httpd(cluster(*with_routes(backends(1), "status=+D"), *with_routes(backends(2))[1:]))
    answer = server.curl(cookie=naming(1))
    assert (answer.affinity, answer.set_cookies) == ("failover", given(2))


def test_a_cookie_whose_member_has_a_redirect_leads_there(httpd, backends):
    a, b, c = with_routes(backends(3))
    server = httpd(cluster(f"{a} status=+D redirect=node3", b, c))
    for _ in range(3):
        answer = server.curl(cookie=naming(1))
        assert (answer.body, answer.affinity, answer.set_cookies) == ("backend3", "failover", given(3))


def test_with_nofailover_a_client_whose_member_died_is_refused(httpd, backends):
    a, b = backends(2)
    server = httpd(cluster(*with_routes([a, b], "retry=600"), settings="lbmethod=sticky nofailover=On"),
                   expected=BACKEND_IS_DOWN + NOBODY_CAN_SERVE)
    a.stop()
    for _ in range(3):
        answer = server.curl(cookie=naming(1))
        assert (answer.status, answer.affinity, answer.set_cookies) == (503, "refused", [])
    assert not b.requests
    assert server.curl().body == "backend2"


def drained_in_the_configuration(httpd, backends):
    a, b, c = with_routes(backends(3))
    return httpd(cluster(f"{a} status=+N", b, c))


def drained_in_the_manager(httpd, backends):
    members = backends(3)
    server = httpd(cluster(*with_routes(members)))
    server.manager("mycluster", members[0].url, w_status_N="1")
    return server


@pytest.mark.parametrize("drained", [drained_in_the_configuration, drained_in_the_manager],
                         ids=["in the configuration", "in the manager"])
def test_a_draining_member_keeps_its_clients_and_gets_no_others(httpd, backends, drained):
    server = drained(httpd, backends)
    for _ in range(4):
        answer = server.curl(cookie=naming(1))
        assert (answer.body, answer.affinity, answer.set_cookies) == ("backend1", "cookie", [])
    assert set(server.bodies(6)) == {"backend2", "backend3"}
    assert set(server.bodies(6, cookie=f"{NAME}=.gone")) == {"backend2", "backend3"}


# -- what goes before what ----------------------------------------------------------------------------------------


@by_either
def test_the_route_of_a_session_goes_before_the_cookie(httpd, backends, resolver):
    server = httpd(cluster(*with_routes(backends(3)), **resolver))
    answer = server.curl(cookie=f"{naming(1)}; JSESSIONID=12345.node2")
    assert (answer.body, answer.affinity) == ("backend2", "route")


@by_either
def test_the_cookie_serves_where_the_member_of_the_route_cannot(httpd, backends, resolver):
    a, b, c = with_routes(backends(3))
    server = httpd(cluster(a, f"{b} status=+D", c, **resolver))
    for number in (1, 3):
        answer = server.curl(cookie=f"{naming(number)}; JSESSIONID=12345.node2")
        assert (answer.body, answer.affinity, answer.set_cookies) == (f"backend{number}", "cookie", [])


@by_either
def test_the_cookie_goes_before_consistent_hashing(httpd, backends, resolver):
    server = httpd(cluster(*with_routes(backends(3)), **resolver))
    for number in (1, 2, 3):
        answer = server.curl(cookie=f"{naming(number)}; JSESSIONID=12345")
        assert (answer.body, answer.affinity) == (f"backend{number}", "cookie")


def test_a_redirect_of_the_route_goes_before_that_of_the_cookie(httpd, backends):
    a, b, c, d = with_routes(backends(4))
    server = httpd(cluster(f"{a} status=+D redirect=node3", f"{b} status=+D redirect=node4", c, d,
                           **RESOLVERS["LBStickySession"]))
    answer = server.curl(cookie=f"{naming(1)}; JSESSIONID=12345.node2")
    assert (answer.body, answer.affinity) == ("backend4", "failover")


# -- several front ends, and the stock method ---------------------------------------------------------------------


@pytest.mark.parametrize("option", [lambda number: f"route=node{number}", lambda number: ""],
                         ids=["routes", "no routes"])
def test_two_front_ends_understand_each_others_cookies_in_whatever_order_they_list_the_members(
        httpd, backends, tmp_path, option):
    members = [f"{backend.url} {option(number)}" for number, backend in enumerate(backends(3), 1)]
    one, two = httpd(cluster(*members)), httpd(cluster(*reversed(members)))
    for n in range(3):
        client = Client(tmp_path, f"jar{n}")
        first = client.curl(one)
        answer = client.curl(two)
        assert (answer.body, answer.affinity, answer.set_cookies) == (first.body, "cookie", [])


STOCK = "lbmethod=byrequests stickysession=ROUTEID"
RECIPE = 'Header add Set-Cookie "ROUTEID=.%{BALANCER_WORKER_ROUTE}e; path=/" env=BALANCER_ROUTE_CHANGED\n'


@pytest.fixture
def migration(httpd, backends):
    """(a server with the stock method and the well-known recipe, one with this module) for the same members."""
    members = with_routes(backends(3))
    return (httpd(RECIPE + cluster(*members, settings=STOCK)),
            httpd(cluster(*members, more="LBStickyCookie ROUTEID")))


@pytest.mark.parametrize("towards", [1, 0], ids=["to this module", "back to the stock method"])
def test_clients_stay_where_they_are_when_a_site_migrates(migration, tmp_path, towards):
    after, before = migration[towards], migration[1 - towards]
    for n in range(4):
        client = Client(tmp_path, f"jar{n}")
        first = client.curl(before)
        assert len(first.set_cookies) == 1
        for _ in range(3):
            answer = client.curl(after)
            assert (answer.body, answer.set_cookies) == (first.body, [])


def test_a_site_with_that_recipe_goes_on_as_before_when_one_word_is_changed(httpd, backends, tmp_path):
    server = httpd(RECIPE + cluster(*with_routes(backends(3)), settings="lbmethod=sticky stickysession=ROUTEID"))
    client = Client(tmp_path)
    first = client.curl(server)
    assert first.set_cookies == [f"ROUTEID=.{first.route}; path=/"]
    for _ in range(3):
        answer = client.curl(server)
        assert (answer.body, answer.affinity, answer.set_cookies) == (first.body, "route", [])


# -- whatever members and clients speak ----------------------------------------------------------------------------


def test_it_is_given_whatever_members_speak(site_of_a_kind, tmp_path):
    server = site_of_a_kind()
    client = Client(tmp_path)
    first = client.curl(server)
    assert first.set_cookies == given(number_of(first))
    for _ in range(3):
        answer = client.curl(server)
        assert (answer.body, answer.affinity, answer.set_cookies) == (first.body, "cookie", [])


HTTP2 = {
    "h2": ("--http2",),
    "h2c": ("--http2-prior-knowledge",),
    "h2c by upgrade": ("--http2",),
}


@by_http2
@pytest.mark.parametrize("how", HTTP2)
def test_an_http2_client_is_given_it_once(httpd, tls_server, backends, tmp_path, how):
    start = tls_server if how == "h2" else httpd
    server = start("Protocols h2 h2c http/1.1\n" + cluster(*with_routes(backends(3))), modules=["http2"])
    client = Client(tmp_path)
    arguments = *HTTP2[how], "--insecure", "--write-out", " by %{http_version}"
    first = client.curl(server, "/", *arguments)
    assert first.body.endswith(" by 2")
    (cookie,) = first.set_cookies
    assert re.fullmatch(rf"{NAME}=\.node\d; Path=/; {'Secure; ' if how == 'h2' else ''}HttpOnly; SameSite=Lax", cookie)
    for _ in range(3):
        answer = client.curl(server, "/", *arguments)
        assert (answer.body, answer.affinity, answer.set_cookies) == (first.body, "cookie", [])


FILE = "--data-binary", "@{file}"
CHUNKED = "--header", "Transfer-Encoding: chunked"
METHODS = {
    "HEAD": ("--head",),
    "OPTIONS": ("--request", "OPTIONS"),
    "POST of a form": ("--data", "a=b"),
    "POST of 1 MB": (*FILE, "--header", "Expect:"),
    "POST of 1 MB after 100 Continue": (*FILE, "--header", "Expect: 100-continue"),
    "chunked POST of 1 MB": (*FILE, *CHUNKED, "--header", "Expect:"),
    "chunked POST of 1 MB after 100 Continue": (*FILE, *CHUNKED, "--header", "Expect: 100-continue"),
    "PUT of 1 MB": ("--request", "PUT", *FILE),
}


@pytest.mark.parametrize("arguments", METHODS.values(), ids=METHODS)
def test_it_is_given_whatever_the_method_and_the_body(httpd, backends, tmp_path, arguments):
    body = tmp_path / "body"
    body.write_bytes(MEGABYTE)
    arguments = [argument.format(file=body) for argument in arguments]
    members = backends(2)
    server = httpd(cluster(*with_routes(members)))
    client = Client(tmp_path)
    (cookie,) = client.curl(server, "/", *arguments).set_cookies
    number = 1 if cookie in given(1) else 2
    assert cookie in given(number)
    answer = client.curl(server, "/", *arguments)
    assert (answer.status, answer.affinity, answer.set_cookies) == (200, "cookie", [])
    assert len(members[number - 1].requests) == 2
    if "@" in "".join(arguments):
        assert members[number - 1].bodies == [MEGABYTE] * 2


def test_it_is_given_once_on_a_connection_of_several_requests(httpd, backends, tmp_path):
    server = httpd(cluster(*with_routes(backends(2))))
    answer = Client(tmp_path).curl(server, "/?n=[1-5]", "--write-out", "%{num_connects} connection\n")
    assert len(answer.set_cookies) == 1
    assert answer.body.count("0 connection") == 4
    assert answer.body.count("X-Affinity: cookie") == 4 and "Set-Cookie" not in answer.body


def test_requests_on_one_connection_that_keep_no_cookie_are_given_one_each(httpd, backends):
    server = httpd(cluster(*with_routes(backends(2))))
    text = server.curl("/?n=[1-5]", "--write-out", " by %{num_connects}\n").body
    others = re.findall(r"^Set-Cookie: \S+=\.node(\d);[^^]*?^backend(\d) by 0", text, re.MULTILINE)
    assert len(others) == 4 and all(cookie == member for cookie, member in others)


UPGRADES = pytest.mark.parametrize("scheme, option, modules", [
    ("ws", "", ["proxy_wstunnel"]),
    ("http", "upgrade=websocket", []),
], ids=["mod_proxy_wstunnel", "mod_proxy_http"])


def upgraded(server, cookie=None):
    """Opens a WebSocket, and closes it at once. The head of the response."""
    with socket.create_connection(("127.0.0.1", server.port), 60) as connection, connection.makefile("rb") as file:
        key = base64.b64encode(os.urandom(16)).decode()
        connection.sendall((f"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n"
                            + (f"Cookie: {cookie}\r\n" if cookie else "") + "\r\n").encode())
        head = b"".join(iter(file.readline, b"\r\n")).decode()
        connection.sendall(b"\x88\x82\0\0\0\0\x03\xe8")  # good-bye (1000)
        file.read()
    assert head.startswith("HTTP/1.1 101 "), head
    return re.findall(r"^Set-Cookie: (.*)\r$", head, re.MULTILINE)


@UPGRADES
def test_a_websocket_is_given_it_with_the_upgrade(httpd, websocket_backends, scheme, option, modules):
    members = [f"{scheme}://127.0.0.1:{port} route=node{number} {option}"
               for number, port in enumerate(websocket_backends(2), 1)]
    server = httpd("CustomLog access.log %s\n" + cluster(*members), modules=modules)
    assert sorted(upgraded(server) + upgraded(server)) == given(1) + given(2)
    assert upgraded(server, f"{NAME}=.gone") in (given(1), given(2))
    assert upgraded(server, naming(1)) == upgraded(server, naming(2)) == []
    log = server.folder / "access.log"
    wait_until(lambda: log.read_text() == "101\n" * 5, "all five have ended")
    server.graceful()
    assert server.own_cookies() == (3, 1)


@UPGRADES
def test_an_upgrade_that_fails_over_is_given_the_cookie_of_the_member_that_answered(
        httpd, backends, websocket_backends, scheme, option, modules):
    (down,) = backends(1)
    down.stop()
    (port,) = websocket_backends(1)
    server = httpd(cluster(f"{scheme}://127.0.0.1:{down.port} route=node1 loadfactor=100 retry=0 {option}",
                           f"{scheme}://127.0.0.1:{port} route=node2 {option}"),
                   modules=modules, expected=BACKEND_IS_DOWN)
    for cookie in (None, naming(1), f"{NAME}=.gone"):
        before = len(server.choices())
        assert upgraded(server, cookie) == given(2)
        assert len(server.choices()) == before + 2, "the first was to be tried first"
    assert upgraded(server, naming(2)) == []


def test_an_upgrade_that_a_member_answers_in_plain_http_is_given_it_once(httpd, backends):
    members = backends(2)
    server = httpd(cluster(*with_routes(members, "upgrade=websocket")))
    answer = server.curl("/", *UPGRADE)
    assert (answer.status, answer.set_cookies) == (200, given(number_of(answer)))
    assert server.curl("/", *UPGRADE, cookie=naming(2)).set_cookies == []
    server.graceful()
    assert server.own_cookies() == (1, 0)


@by_either
@pytest.mark.parametrize("upgrade", ["websocket", "h2c"])
def test_a_session_with_a_route_needs_none_where_a_client_offers_to_upgrade(httpd, backends, resolver, upgrade):
    (a,) = backends(1)
    a.headers = [("Set-Cookie", "JSESSIONID=67890.node1; Path=/")]
    server = httpd(cluster(*with_routes([a]), **resolver))
    offer = "--header", "Connection: Upgrade", "--header", f"Upgrade: {upgrade}"
    assert names_set(server.curl("/", *offer, cookie="JSESSIONID=12345")) == ["JSESSIONID"]


def test_an_interim_response_carries_none(httpd, backends):
    server = httpd(cluster(*with_routes(backends(1))))
    answer = server.curl("/", *UPGRADE, "--header", "Expect: 100-continue", "--data", "a=b")
    assert answer.interim == ["HTTP/1.1 100 Continue"]
    assert answer.set_cookies == given(1)
