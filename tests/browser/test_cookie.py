"""What a browser makes of the balancer's own cookie: it keeps it, and stays with one member."""

import http.server
import threading

import pytest

from server import cluster, free_port

PARTS = [f"/part{number}.svg" for number in range(1, 21)]
PAGE = "<!DOCTYPE html><title>shop</title><link rel=icon href=data:,>" + "".join(f"<img src={part}>" for part in PARTS)
PICTURE = '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>'


class Member:
    """A web server: its page has twenty pictures, none of which may be cached. `asked` is what it was asked for."""

    def __init__(self, page=PAGE):
        member = self
        self.asked = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                member.asked.append(self.path)
                kind, body = ("image/svg+xml", PICTURE) if self.path.endswith(".svg") else ("text/html", page)
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.send_header("Cache-Control", "no-store")
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", free_port()), Handler)
        self.port = self.server.server_port
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def member():
    """member(…): a started Member."""
    started = []

    def start(*arguments):
        started.append(Member(*arguments))
        return started[-1]

    yield start
    for one in started:
        one.stop()


@pytest.fixture
def shop(httpd, tls_server, member):
    """shop(scheme, LBStickyCookie's arguments): two members behind httpd, and its URL."""
    def start(scheme, cookie="auto"):
        members = member(), member()
        balancer = cluster(*(m.url for m in members), name="shop", more=f"LBStickyCookie {cookie}")
        return members, {"http": httpd, "https": tls_server}[scheme](balancer).url
    return start


def asked(members):
    """What each of the members was asked for since this was called last, sorted."""
    lists = []
    for member in members:
        lists.append(sorted(member.asked))
        member.asked.clear()
    return lists


def whole_page(browser):
    """Whether the browser has the page with all of its pictures."""
    return browser.execute_script("return [...document.images].filter(i => i.complete && i.naturalWidth).length") == 20


VISIT = sorted(["/", *PARTS])


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_browser_keeps_the_cookie_and_gets_all_of_a_page_from_one_member(shop, browser, scheme):
    members, url = shop(scheme)
    one = browser()
    one.get(url)
    assert whole_page(one)
    [cookie] = one.get_cookies()
    value = cookie.pop("value")
    assert cookie == {"name": "lbsticky_shop", "domain": "127.0.0.1", "path": "/", "httpOnly": True,
                      "secure": scheme == "https", "sameSite": "Lax"}
    assert one.execute_script("return document.cookie") == ""
    first = asked(members)
    assert sorted(first) == [[], VISIT]

    one.get(url)
    assert whole_page(one)
    assert asked(members) == first

    # Another profile is another client: it is the other member's turn.
    two = browser()
    two.get(url)
    assert whole_page(two)
    assert asked(members) == first[::-1]
    assert [c["value"] for c in two.get_cookies()] not in ([], [value])

    one.get(url)
    assert asked(members) == first
    assert [c["value"] for c in one.get_cookies()] == [value]


def test_a_browser_sees_every_attribute_that_is_set(shop, browser):
    members, url = shop("https", "mine path=/shop maxage=7d httponly=off secure=on samesite=strict")
    one = browser()
    one.get(f"{url}/shop/")
    [cookie] = one.get_cookies()
    assert cookie.pop("expiry") > 0
    value = cookie.pop("value")
    assert cookie == {"name": "mine", "domain": "127.0.0.1", "path": "/shop", "httpOnly": False, "secure": True,
                      "sameSite": "Strict"}
    assert one.execute_script("return document.cookie") == f"mine={value}"


# Browsers that block third-party cookies take those that are kept apart for each site that shows the frame.
@pytest.mark.parametrize("cookie, allowed", [("auto secure=on samesite=none", True),
                                             ("auto secure=on samesite=none partitioned=on", False)])
def test_a_page_in_a_frame_of_another_site_stays_with_its_member(shop, member, browser, cookie, allowed):
    members, url = shop("https", cookie)
    other = member(f"<!DOCTYPE html><link rel=icon href=data:,><iframe src={url}></iframe>")
    one = browser(third_party_cookies=allowed)
    one.get(f"http://localhost:{other.port}")
    first = asked(members)
    assert sorted(first) == [[], VISIT]
    one.get(f"http://localhost:{other.port}")
    assert asked(members) == first
