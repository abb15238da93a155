"""LBStickyCookie: what the balancer's cookie says, and what httpd refuses."""

import re

import pytest

from server import cluster, free_port, with_routes
from test_configuration import refusal, section, written
from test_graceful_restart import restart

# The arguments: what follows name and value.
WRITTEN = {
    "auto": "Path=/; HttpOnly; SameSite=Lax",
    "AUTO": "Path=/; HttpOnly; SameSite=Lax",
    "auto path=/app": "Path=/app; HttpOnly; SameSite=Lax",
    'auto "path=/a,b\\"c=d"': 'Path=/a,b"c=d; HttpOnly; SameSite=Lax',
    "auto domain=example.org": "Path=/; Domain=example.org; HttpOnly; SameSite=Lax",
    "auto domain=.example.org": "Path=/; Domain=.example.org; HttpOnly; SameSite=Lax",
    "auto maxage=1": "Path=/; Max-Age=1; HttpOnly; SameSite=Lax",
    "auto maxage=90": "Path=/; Max-Age=90; HttpOnly; SameSite=Lax",
    "auto maxage=30m": "Path=/; Max-Age=1800; HttpOnly; SameSite=Lax",
    "auto maxage=12h": "Path=/; Max-Age=43200; HttpOnly; SameSite=Lax",
    "auto maxage=7d": "Path=/; Max-Age=604800; HttpOnly; SameSite=Lax",
    "auto maxage=3650d": "Path=/; Max-Age=315360000; HttpOnly; SameSite=Lax",
    "auto httponly=on": "Path=/; HttpOnly; SameSite=Lax",
    "auto httponly=off": "Path=/; SameSite=Lax",
    "auto secure=auto": "Path=/; HttpOnly; SameSite=Lax",
    "auto secure=on": "Path=/; Secure; HttpOnly; SameSite=Lax",
    "auto secure=off": "Path=/; HttpOnly; SameSite=Lax",
    "auto samesite=lax": "Path=/; HttpOnly; SameSite=Lax",
    "auto samesite=strict": "Path=/; HttpOnly; SameSite=Strict",
    "auto samesite=off": "Path=/; HttpOnly",
    "auto samesite=none secure=on": "Path=/; Secure; HttpOnly; SameSite=None",
    "auto partitioned=off": "Path=/; HttpOnly; SameSite=Lax",
    "auto partitioned=on secure=on": "Path=/; Secure; HttpOnly; SameSite=Lax; Partitioned",
    "auto nocache=on": "Path=/; HttpOnly; SameSite=Lax",
    "auto SameSite=STRICT HTTPONLY=Off": "Path=/; SameSite=Strict",
    "auto maxage=1h maxage=2h": "Path=/; Max-Age=7200; HttpOnly; SameSite=Lax",
    "auto httponly=off samesite=off": "Path=/",
    "auto partitioned=on samesite=none httponly=on secure=on maxage=1d domain=a.example path=/a":
        "Path=/a; Domain=a.example; Max-Age=86400; Secure; HttpOnly; SameSite=None; Partitioned",
}


@pytest.mark.parametrize("arguments, attributes", WRITTEN.items(), ids=WRITTEN)
def test_the_cookie_says_what_the_directive_says(httpd, backends, arguments, attributes):
    server = httpd(cluster(*with_routes(backends(1)), more=f"LBStickyCookie {arguments}"))
    [path] = re.findall(r"Path=([^;]*)", attributes)
    assert server.curl(path).set_cookies == [f"lbsticky_mycluster=.node1; {attributes}"]


NAMES = ["api_sticky", "one", "__Host-node secure=on", "__Secure-node secure=on path=/app", "!#$%&'*+-.^_`|~", "Off1", "ofF.x"]


@pytest.mark.parametrize("arguments", NAMES)
def test_the_cookie_has_the_name_that_the_directive_gives_it(httpd, backends, arguments):
    name, *_ = arguments.split()
    server = httpd(cluster(*with_routes(backends(2)), more=f"LBStickyCookie {arguments}"))
    (cookie,) = server.curl("/app").set_cookies
    assert cookie.startswith(f"{name}=.node")
    assert server.curl(cookie=f"{name}=.node2").affinity == "cookie"
    assert server.curl(cookie="lbsticky_mycluster=.node2").affinity == "new"


@pytest.mark.parametrize("path, given", {"/app": True, "/app/": True, "/app/page?x": True, "/application": False,
                                         "/": False, "/favicon.ico": False, "/other/app": False}.items())
def test_the_cookie_is_given_only_where_the_browser_will_send_it_back(httpd, backends, path, given):
    server = httpd(cluster(*with_routes(backends(2)), more="LBStickyCookie S path=/app"))
    assert len(server.curl(path).set_cookies) == given


def test_the_path_of_the_cookie_is_that_which_the_client_asked_for(httpd, backends):
    server = httpd(f"""RewriteEngine On
                       RewriteRule ^/app/(.*)$ balancer://mycluster/internal/$1 [P]
                       RewriteRule ^/internal/(.*)$ balancer://mycluster/app/$1 [P]"""
                   + cluster(*with_routes(backends(2)), more="LBStickyCookie S path=/app"))
    assert len(server.curl("/app/x").set_cookies) == 1
    assert server.curl("/internal/x").set_cookies == []


def test_by_itself_the_cookie_is_secure_where_the_client_speaks_tls(tls_server, backends):
    plain = free_port()
    server = tls_server(f"Listen 127.0.0.1:{plain}\n" + cluster(*with_routes(backends(1))))
    for _ in range(2):
        assert server.curl("/", "--insecure").set_cookies == [
            "lbsticky_mycluster=.node1; Path=/; Secure; HttpOnly; SameSite=Lax"]
        assert server.at(plain).curl().set_cookies == ["lbsticky_mycluster=.node1; Path=/; HttpOnly; SameSite=Lax"]


@pytest.mark.parametrize("secure, said", [("on", ["Secure"]), ("off", [])])
def test_secure_holds_for_clients_with_tls_and_without(tls_server, backends, secure, said):
    plain = free_port()
    server = tls_server(f"Listen 127.0.0.1:{plain}\n"
                        + cluster(*with_routes(backends(1)), more=f"LBStickyCookie auto secure={secure}"))
    for (cookie,) in (server.curl("/", "--insecure").set_cookies, server.at(plain).curl().set_cookies):
        assert cookie.split("; ")[1:] == ["Path=/", *said, "HttpOnly", "SameSite=Lax"]


def cache_controls(answer):
    return [value for name, value in answer.headers if name.lower() == "cache-control"]


# What the member says: what the client reads.
WITH_NOCACHE = {
    None: ["private"],
    "max-age=60": ["max-age=60, private"],
    "private": ["private"],
    "max-age=60, private": ["max-age=60, private"],
    "Private,max-age=60": ["Private,max-age=60"],
    "no-store": ["no-store, private"],
    "x-private": ["x-private, private"],
}


@pytest.mark.parametrize("said, read", WITH_NOCACHE.items(), ids=map(str, WITH_NOCACHE))
def test_nocache_marks_a_response_that_sets_the_cookie_and_no_other(httpd, backends, said, read):
    (a,) = backends(1)
    a.headers = [("Cache-Control", said)] if said else []
    server = httpd(cluster(*with_routes([a]), more="LBStickyCookie auto nocache=on"))
    assert cache_controls(server.curl()) == read
    assert cache_controls(server.curl(cookie="lbsticky_mycluster=.node1")) == ([said] if said else [])


def test_nocache_marks_no_response_twice_whose_directives_come_in_several_headers(httpd, backends):
    (a,) = backends(1)
    a.headers = [("Cache-Control", "max-age=60"), ("Cache-Control", "private")]
    server = httpd(cluster(*with_routes([a]), more="LBStickyCookie auto nocache=on"))
    assert ", ".join(cache_controls(server.curl())) == "max-age=60, private"


@pytest.mark.parametrize("arguments", ["auto", "auto nocache=off"])
def test_without_nocache_a_response_is_not_marked(httpd, backends, arguments):
    server = httpd(cluster(*with_routes(backends(1)), more=f"LBStickyCookie {arguments}"))
    answer = server.curl()
    assert len(answer.set_cookies) == 1 and cache_controls(answer) == []


def test_changed_settings_reach_new_clients_after_a_restart(httpd, backends):
    members = with_routes(backends(1))

    def site(arguments):
        return cluster(*members, more=f"LBStickyCookie {arguments}")

    server = httpd(site("auto"))
    assert server.curl().set_cookies == ["lbsticky_mycluster=.node1; Path=/; HttpOnly; SameSite=Lax"]
    restart(server, site("auto maxage=1h samesite=strict"))
    assert server.curl().set_cookies == ["lbsticky_mycluster=.node1; Path=/; Max-Age=3600; HttpOnly; SameSite=Strict"]
    assert server.curl(cookie="lbsticky_mycluster=.node1").set_cookies == []
    restart(server, site("other"))
    assert server.curl(cookie="lbsticky_mycluster=.node1").set_cookies == [
        "other=.node1; Path=/; HttpOnly; SameSite=Lax"]
    restart(server, site("off"))
    assert server.curl().set_cookies == []


def test_each_balancer_has_settings_of_its_own(httpd, backends):
    members = with_routes(backends(1))
    server = httpd(cluster(*members, name="one", path="/one", more="LBStickyCookie auto maxage=1h")
                   + cluster(*members, name="two", path="/two", more="LBStickyCookie mine httponly=off")
                   + cluster(*members, name="three", path="/three"))
    assert [server.curl(path).set_cookies for path in ("/one", "/two", "/three")] == [
        ["lbsticky_one=.node1; Path=/; Max-Age=3600; HttpOnly; SameSite=Lax"],
        ["mine=.node1; Path=/; SameSite=Lax"],
        ["lbsticky_three=.node1; Path=/; HttpOnly; SameSite=Lax"]]


def test_a_later_section_replaces_all_that_an_earlier_one_says_of_the_cookie(httpd, backends):
    server = httpd(section("LBStickyCookie one maxage=1h secure=on", name='Proxy "balancer://*"')
                   + cluster(*with_routes(backends(1)), more="LBStickyCookie two path=/"))
    assert server.curl().set_cookies == ["two=.node1; Path=/; HttpOnly; SameSite=Lax"]


# -- What is refused --------------------------------------------------------------------------------------------------

NAME = ("auto, off, or the NAME of a cookie, of letters, digits and any of !#$%&'*+-.^_`|~")
FIRST = "auto or the NAME of a cookie comes first"
WRITTEN_SO = "it is written {}=VALUE here, where VALUE is"
KEYS = "KEY=VALUE, where KEY is path, domain, maxage, httponly, secure, samesite, partitioned or nocache"
PATH = "path takes a path that begins with /, of visible ASCII characters but ;"
DOMAIN = "domain takes a host name, of letters, digits, - and ."
SECONDS = "seconds, or a number with m, h or d; at least 1 second, at most 3650d"
AGE = f"maxage takes {SECONDS}"
ON_OR_OFF = "takes on or off"
SAME_SITE = "samesite takes lax, strict, none or off"

# The first value that is not allowed of the arguments, and what is.
NOT_ALLOWED = {
    "": ("", NAME),
    '""': ("", NAME),
    '"" path=/': ("", NAME),
    "a;b": ("a;b", NAME),
    "a=b": ("a=b", FIRST),
    "path=/": ("path=/", FIRST),
    "maxage=1h": ("maxage=1h", FIRST),
    "Max-Age=1h secure": ("Max-Age=1h", FIRST),
    "secure": ("secure", FIRST),
    "HttpOnly secure=on": ("HttpOnly", FIRST),
    '"a b"': ("a b", NAME),
    "a,b": ("a,b", NAME),
    "nàme": ("n\\xc3\\xa0me", NAME),
    "off auto": ("auto", "off takes nothing more"),
    "off path=/": ("path=/", "off takes nothing more"),
    "auto off": ("off", KEYS),
    "auto =on": ("=on", KEYS),
    "auto =": ("=", KEYS),
    "auto Secure": ("Secure", f"{WRITTEN_SO.format('secure')} auto, on or off"),
    "auto httpOnly": ("httpOnly", f"{WRITTEN_SO.format('httponly')} on or off"),
    "mine partitioned secure=on": ("partitioned", f"{WRITTEN_SO.format('partitioned')} on or off"),
    "auto nocache": ("nocache", f"{WRITTEN_SO.format('nocache')} on or off"),
    "auto expires=1h": ("expires=1h", f"{WRITTEN_SO.format('maxage')} {SECONDS}"),
    "auto Max-Age=3600": ("Max-Age=3600", f"{WRITTEN_SO.format('maxage')} {SECONDS}"),
    "auto same-site=lax": ("same-site=lax", f"{WRITTEN_SO.format('samesite')} lax, strict, none or off"),
    'auto "path =/"': ("path =/", KEYS),
    "mine path=/ other": ("other", KEYS),
    "auto path=": ("path=", PATH),
    "auto path=app": ("path=app", PATH),
    "auto path=/a;b": ("path=/a;b", PATH),
    'auto "path=/a b"': ("path=/a b", PATH),
    "auto path=/é": ("path=/\\xc3\\xa9", PATH),
    "auto domain=": ("domain=", DOMAIN),
    "auto domain=.": ("domain=.", DOMAIN),
    "auto domain=a_b.example": ("domain=a_b.example", DOMAIN),
    "auto domain=a.example;b": ("domain=a.example;b", DOMAIN),
    "auto domain=a.example:80": ("domain=a.example:80", DOMAIN),
    "auto domain=*.example": ("domain=*.example", DOMAIN),
    "auto maxage=": ("maxage=", AGE),
    "auto maxage=0": ("maxage=0", AGE),
    "auto maxage=-1": ("maxage=-1", AGE),
    "auto maxage=+1": ("maxage=+1", AGE),
    "auto maxage=1.5": ("maxage=1.5", AGE),
    "auto maxage=5x": ("maxage=5x", AGE),
    "auto maxage=h": ("maxage=h", AGE),
    "auto maxage=5hh": ("maxage=5hh", AGE),
    'auto "maxage=5 h"': ("maxage=5 h", AGE),
    "auto maxage=0x10": ("maxage=0x10", AGE),
    "auto maxage=3651d": ("maxage=3651d", AGE),
    "auto maxage=315360001": ("maxage=315360001", AGE),
    "auto maxage=18446744073709551617": ("maxage=18446744073709551617", AGE),
    "auto httponly=": ("httponly=", f"httponly {ON_OR_OFF}"),
    "auto httponly=yes": ("httponly=yes", f"httponly {ON_OR_OFF}"),
    "auto secure=1": ("secure=1", "secure takes auto, on or off"),
    "auto samesite=on": ("samesite=on", SAME_SITE),
    "auto partitioned=auto": ("partitioned=auto", f"partitioned {ON_OR_OFF}"),
    "auto nocache=": ("nocache=", f"nocache {ON_OR_OFF}"),
    "auto nocache=on secure=maybe": ("secure=maybe", "secure takes auto, on or off"),
}


@pytest.mark.parametrize("arguments, value, allowed", [(line, *said) for line, said in NOT_ALLOWED.items()],
                         ids=[f"LBStickyCookie {line}" for line in NOT_ALLOWED])
def test_httpd_refuses_what_is_not_allowed(written, arguments, value, allowed):
    assert refusal(written(section(f"LBStickyCookie {arguments}"))) == (
        f"LBStickyCookie: '{value}' is not allowed: {allowed}")


NO_NAMES = ["of", "On", "yes", "no", "TRUE", "false", "0", "1", "none", "never", "always", "enable", "Enabled", "disable",
            "disabled"]


@pytest.mark.parametrize("word", NO_NAMES)
@pytest.mark.parametrize("more", ["", " path=/"])
def test_httpd_refuses_a_word_that_nobody_means_as_a_name(written, word, more):
    assert refusal(written(section(f"LBStickyCookie {word}{more}"))) == (
        f"LBStickyCookie: '{word}' is not allowed: {NAME}; '{word}' is no name")


HOST = "a name that begins with __Host- needs secure=on, path=/ and no domain"
SECURE = "a name that begins with __Secure- needs secure=on"

# The arguments: what is wrong with them together.
CONTRADICTIONS = {
    "auto samesite=none": "samesite=none needs secure=on",
    "auto samesite=none secure=auto": "samesite=none needs secure=on",
    "auto secure=off samesite=none": "samesite=none needs secure=on",
    "auto secure=on samesite=none secure=off": "samesite=none needs secure=on",
    "auto partitioned=on": "partitioned=on needs secure=on",
    "mine partitioned=on secure=auto": "partitioned=on needs secure=on",
    "__Secure-a": SECURE,
    "__Secure-a secure=off": SECURE,
    "__Host-a": HOST,
    "__HOST-a": HOST,
    "__secure-a": SECURE,
    "__Host-a secure=auto": HOST,
    "__Host-a secure=on path=/app": HOST,
    "__Host-a secure=on domain=a.example": HOST,
}


@pytest.mark.parametrize("arguments, said", CONTRADICTIONS.items(),
                         ids=[f"LBStickyCookie {line}" for line in CONTRADICTIONS])
def test_httpd_refuses_attributes_that_do_not_fit_together(written, arguments, said):
    name, *_ = arguments.split()
    assert refusal(written(section(f"LBStickyCookie {arguments}"))) == f"LBStickyCookie: '{name}': {said}"
