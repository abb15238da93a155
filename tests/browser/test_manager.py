"""balancer-manager in a browser: what is changed through its forms is seen in the panel, which everybody can read."""

import contextlib
import os
import pathlib
import re
import time

import pytest
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select, WebDriverWait

from backend import Backend
from server import BACKEND_IS_DOWN, MANAGER, cluster, free_port, wait_until
from test_probing import CUT_OFF, Port

PICTURE = pathlib.Path(__file__).with_name("balancer-manager.png")
SESSION = "JSESSIONID=12345"
OWN = "lbsticky_shop"
CAPTION = "Members, those first that need a look; their requests by affinity"
COLUMNS = ["Member", "Status", "In flight", "Sessions", "Share by weight", "Share of new sessions",
           "Last sticky request", "Moved away", "cookie", "route", "learned", "hash", "new", "failover", "overload",
           "Route", "Cookie value"]
# The row of the sums, then one for each member.
ROWS = """const [header, ...rows] = document.querySelector('.lbsticky table').rows;
          return rows.map(row => Object.fromEntries([...row.cells].map(
              cell => [header.cells[cell.cellIndex].textContent, cell.textContent])))"""


class Manager:
    """A server with a balancer of three members, and its balancer-manager in a browser."""

    def __init__(self, server, members, driver):
        self.server, self.members, self.driver = server, members, driver
        self.open()

    def open(self):
        self.driver.get(f"{self.server.url}/balancer-manager")

    def rows(self):
        """[{column: text}] of the panel, a row a member."""
        return self.driver.execute_script(ROWS)[1:]

    def sums(self):
        """{column: text} of the row above them."""
        return self.driver.execute_script(ROWS)[0]

    def column(self, name):
        return [row[name] for row in self.rows()]

    def click(self, by, what):
        """Clicks on what leads to another page, and waits for that."""
        self.driver.execute_script("window.isOld = true")
        self.driver.find_element(by, what).click()
        # Between two pages there is a moment at which it can tell nothing.
        WebDriverWait(self.driver, 20, ignored_exceptions=[WebDriverException]).until(
            lambda driver: driver.execute_script("return !window.isOld && document.readyState === 'complete'"))

    def follow(self, text):
        self.click(By.LINK_TEXT, text)

    def submit(self):
        self.click(By.CSS_SELECTOR, "input[type=submit]")

    def fill_in(self, field, text):
        element = self.driver.find_element(By.ID, field)
        element.clear()
        element.send_keys(text)

    def tick(self, field):
        self.driver.find_element(By.ID, field).click()


@pytest.fixture
def manager(httpd, backends, browser):
    """manager(width, …): a Manager; further arguments are for cluster()."""
    def start(width=1280, height=800, **options):
        members = backends(3)
        lines = [f"{member.url} route=node{number} retry=600" for number, member in enumerate(members, 1)]
        # Whoever comes by a bookmark has no Referer, of which httpd complains.
        shop = cluster(*lines, name="shop", path="/shop", settings="lbmethod=sticky growth=1", **options)
        server = httpd(MANAGER + shop, modules=["lbmethod_bybusyness"], expected=[r"AH10187"])
        return Manager(server, members, browser(width, height))
    return start


def test_a_weight_that_is_changed_is_seen_in_the_shares(manager):
    manager = manager()
    assert manager.column("Share by weight") == ["33.3%"] * 3
    manager.follow(manager.members[1].url)
    manager.fill_in("w_lf", "2")
    manager.submit()
    assert manager.column("Share by weight") == ["25.0%", "50.0%", "25.0%"]
    manager.server.bodies(8, path="/shop")
    manager.open()
    assert manager.column("Share of new sessions") == ["25.0%", "50.0%", "25.0%"]
    assert manager.sums()["new"] == "8"
    assert manager.column("new") == ["2", "4", "2"]


def test_a_member_that_drains_comes_first_and_says_for_how_long_and_when_its_last_sticky_request_came(manager):
    manager = manager()
    assert manager.column("Last sticky request") == ["never"] * 3
    manager.follow(manager.members[2].url)
    manager.tick("w_status_N1")
    manager.submit()
    assert manager.column("Route") == ["node3", "node1", "node2"]
    assert re.fullmatch(r"draining for \d+ s", manager.column("Status")[0])
    assert manager.column("Status")[1:] == ["usable", "usable"]
    assert manager.sums()["Status"] == "1 draining, 2 usable"
    assert manager.column("Share by weight") == ["0.0%", "50.0%", "50.0%"]
    assert manager.column("Last sticky request") == ["never"] * 3

    assert manager.server.curl("/shop", cookie=f"{OWN}=.node3").body == "backend3"
    assert set(manager.server.bodies(4, path="/shop")) == {"backend1", "backend2"}
    manager.open()
    assert re.fullmatch(r"\d+ s ago", manager.column("Last sticky request")[0])
    assert manager.column("Last sticky request")[1:] == ["never"] * 2
    assert manager.column("cookie") == ["1", "0", "0"] and manager.column("new") == ["0", "2", "2"]
    assert manager.column("Share of new sessions") == ["0.0%", "50.0%", "50.0%"]


def test_a_member_that_is_added_has_a_row_and_a_share_as_soon_as_it_is_enabled(manager, backends):
    manager = manager()
    [member] = backends(1)
    manager.follow("balancer://shop")
    manager.fill_in("b_nwrkr", member.url)
    manager.tick("b_wyes")
    manager.submit()
    assert manager.column("Member") == [one.url for one in [member, *manager.members]]
    assert re.fullmatch(r"disabled for \d+ s", manager.rows()[0]["Status"])
    assert manager.rows()[0]["Share by weight"] == "0.0%"

    manager.follow(member.url)
    manager.fill_in("w_wr", "node4")
    manager.tick("w_status_D0")
    manager.submit()
    row = manager.rows()[3]
    assert re.fullmatch(r"usable for \d+ s", row["Status"])
    assert [row[column] for column in ("Route", "Cookie value", "Share by weight")] == ["node4", ".node4", "25.0%"]
    assert manager.server.curl("/shop", cookie=f"{OWN}={row['Cookie value']}").body == "backend4"


def test_the_panel_goes_and_comes_with_the_method(manager):
    manager = manager()
    manager.server.bodies(3, path="/shop")
    for method, panels in [("bybusyness", 0), ("sticky", 1)]:
        manager.follow("balancer://shop")
        Select(manager.driver.find_element(By.ID, "b_lbm")).select_by_value(method)
        manager.submit()
        assert len(manager.driver.find_elements(By.CLASS_NAME, "lbsticky")) == panels
    assert manager.column("new") == ["1", "1", "1"]


# -- members in trouble ---------------------------------------------------------------------------------------------

STATUSES = [r"in error for \d+ s, probing by one request", r"drained, drain began \d+ s ago",
            r"draining for \d+ s, sessions are moved in 29 min", r"recovering for \d+ s: \d+% of its share",
            "usable", "usable"]
ROUTES = ["node6", "node4", "node3", "node5", "node1", "node2"]


class Troubled:
    """Six members: two usable, the third draining, the fourth drained, the fifth recovering, the sixth probing."""

    def __init__(self, members, start):
        self.members = members
        members[2].gated = "/slow"
        members[2].gate.clear()
        lines = [f"{member.url} route=node{number} retry=1" for number, member in enumerate(members, 1)]
        shop = cluster(*lines, name="shop", path="/shop", more="""LBStickySession JSESSIONID|jsessionid
            LBStickyDrain deadline=30m quiet=1s
            LBStickySlowStart 40s""")
        # Whoever comes by a bookmark has no Referer, of which httpd complains.
        self.server = start(MANAGER + shop, expected=[r"AH10187", *CUT_OFF])

    def change(self, number, **form):
        self.server.manager("shop", self.members[number - 1].url, **form)

    def sessions(self, number, count, requests, path="/shop/cart"):
        """So many sessions of that member send so many requests each."""
        self.server.parallel(requests, path=f"{path};jsessionid={number}4A7[10000-{9999 + count}].node{number}")

    def happen(self, sent, times=1, wait=0):
        """Lets it all become of them, while so many seconds go by."""
        server, members = self.server, self.members
        self.change(1, w_lf="2")
        server.parallel(21 * times, path="/shop/")
        for number, count in enumerate((20, 9, 4, 2, 6, 7), 1):
            self.sessions(number, count * times, 4)
        self.change(5, w_status_D="1")
        self.change(4, w_status_N="1")
        self.change(3, w_status_N="1")
        sent(server, "/shop/slow", cookie=f"{SESSION}.node3")
        wait_until(lambda: any(path == "/slow" for _, path, _ in members[2].requests), "it has the request")
        self.sessions(3, 4 * times, 2)
        server.parallel(times, path="/shop/;jsessionid=8D03[10000-10005]")
        members[5].stop()
        self.sessions(6, 4 * times, 2)
        self.change(5, w_status_D="0")
        time.sleep(wait)
        server.parallel(40 * times, path="/shop/")
        with Port(members[5].port) as port:
            wait_until(lambda: self.is_tried(sent, port), "it is tried")
            yield

    def is_tried(self, sent, port):
        sent(self.server, "/shop/", cookie=f"{SESSION}.node6")
        time.sleep(0.3)
        return bool(port.held)


@pytest.fixture
def rich(httpd, backends, browser, send):
    """rich(width): a Manager of six members, four of which are not simply usable. While the sixth is tried."""
    with contextlib.ExitStack() as stack:
        def start(width, height=800, **how):
            troubled = Troubled(backends(6), httpd)
            driver = browser(width, height)
            stack.enter_context(contextlib.contextmanager(troubled.happen)(send, **how))
            return Manager(troubled.server, troubled.members, driver)
        yield start


WIDTHS = pytest.mark.parametrize("width", [1280, 390], ids=["desktop", "phone"])


def test_members_in_trouble_come_first_and_say_what_they_are_without_contradiction(rich):
    manager = rich(1280)
    assert manager.column("Route") == ROUTES
    for status, expected in zip(manager.column("Status"), STATUSES, strict=True):
        assert re.fullmatch(expected, status)
    assert manager.sums()["Member"] == "6 members"
    assert manager.sums()["Status"] == "1 probing, 1 drained, 1 draining, 1 recovering, 2 usable"
    by_route = {row["Route"]: row for row in manager.rows()}
    assert (by_route["node3"]["In flight"], by_route["node6"]["In flight"]) == ("1", "1")
    assert [by_route[route]["Share of new sessions"] for route in ("node3", "node4", "node6")] == ["0.0%"] * 3
    assert int(by_route["node6"]["Moved away"]) >= 8
    # Those are marked, not by their colour alone.
    marked = """return [...document.querySelectorAll('.lbsticky tbody tr')].map(row => [
        getComputedStyle(row.cells[0]).borderLeftColor, getComputedStyle(row.cells[1]).fontWeight])"""
    assert manager.driver.execute_script(marked) == (
        [["rgb(0, 0, 0)", "700"]] * 4 + [["rgb(211, 211, 211)", "400"]] * 2)


@pytest.fixture
def many(httpd, browser, cleanup):
    """many(width): a Manager of 200 members, of which one is in error, the last but 20, and one has a long URL."""
    def start(width):
        backend = Backend("backend", host="0.0.0.0")
        cleanup.callback(backend.stop)
        ports = [backend.port] * 200
        ports[179] = free_port()
        lines = [f"http://127.0.{number // 100}.{number % 100 + 1}:{port} route=node{number + 1} retry=600"
                 for number, port in enumerate(ports)]
        lines[99] = lines[99].replace(" ", "/where/the/application/of/the/shop/is/installed ", 1)
        shop = cluster(*lines, name="shop", path="/shop", more="LBStickySession JSESSIONID")
        server = httpd(MANAGER + shop, expected=[r"AH10187", *BACKEND_IS_DOWN])
        server.bodies(230, path="/shop")
        for number in (1, 77, 180, 180, 200):
            server.curl("/shop", cookie=f"{SESSION}.node{number}")
        return Manager(server, [], browser(width))
    return start


# Whether what stands at the middle of an element is the element, or in it.
SEEN = """return [...document.querySelectorAll(arguments[0])].map(element => {
    const box = element.getBoundingClientRect();
    const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
    return box.height > 5 && element.contains(document.elementFromPoint(x, y)); })"""


@WIDTHS
def test_of_200_members_the_one_in_error_comes_first_and_heads_and_sums_stay_in_sight(many, width):
    manager = many(width)
    rows = manager.rows()
    assert [row["Route"] for row in rows] == [f"node{number}" for number in (180, *range(1, 180), *range(181, 201))]
    assert re.fullmatch(r"in error for \d+ s", rows[0]["Status"]) and rows[1]["Status"] == "usable"
    sums = manager.sums()
    assert (sums["Member"], sums["Status"]) == ("200 members", "1 in error, 199 usable")
    for column in COLUMNS[2:4] + COLUMNS[7:15]:
        assert int(sums[column]) == sum(int(row[column]) for row in rows)
    assert [sums[column] for column in ("new", "route", "failover", "Moved away")] == ["230", "3", "2", "2"]

    heads = ".lbsticky thead tr:last-child > :not(:empty)"
    if width > 800:
        heads += ", .lbsticky thead tr:first-child th"
    for place in (0.3, 0.6, 1):
        scroll = f"""const box = document.querySelector('.lbsticky tbody').getBoundingClientRect();
            scrollTo(0, scrollY + box.top + (box.height - innerHeight) * {place})"""
        manager.driver.execute_script(scroll)
        seen = manager.driver.execute_script(SEEN, heads)
        assert len(seen) > 10 and all(seen)
    [last] = manager.driver.execute_script(SEEN, ".lbsticky tbody tr:last-child th")
    assert last
    assert manager.driver.execute_script(OUTSIDE, width) == []
    large = """for (const cell of document.querySelectorAll('.lbsticky td'))
        if (/^\\d+$/.test(cell.textContent)) cell.textContent = cell.cellIndex == 2 ? 12345 : 1234567"""
    manager.driver.execute_script(large)
    assert manager.driver.execute_script(OUTSIDE, width) == []


# -- what the panel looks like ------------------------------------------------------------------------------------

OUTSIDE = """return [...document.querySelectorAll('.lbsticky, .lbsticky *')].filter(element =>
    !element.closest('style') && (arguments[0] > 800 || !element.closest('thead tr:first-child')))
    .map(element => [element.outerHTML, element.getBoundingClientRect()])
    .filter(([html, box]) => !html.startsWith('<meta') && (box.left < 0 || box.right > arguments[0]))
    .map(([html, _]) => html)"""


@WIDTHS
def test_the_panel_is_no_wider_than_the_screen(rich, picture, width):
    manager = rich(width)
    picture(manager.driver, f"panel-{width}.png", ".lbsticky")
    assert manager.driver.execute_script(OUTSIDE, width) == []
    heights = manager.driver.execute_script("""return [...document.querySelectorAll('.lbsticky td, .lbsticky tbody th')]
        .filter(cell => cell.textContent).map(cell => cell.getBoundingClientRect().height)""")
    assert len(heights) > 6 * len(COLUMNS) and min(heights) > 10  # all of them are there to be seen


def test_on_a_phone_each_number_says_what_it_is_and_on_a_desktop_its_column_does(rich):
    names = """return [...document.querySelectorAll('.lbsticky tbody tr')].map(row => [...row.cells].map(
        cell => getComputedStyle(cell, '::before').content))"""
    manager = rich(390)
    assert manager.driver.execute_script(names) == [["none", *(f'"{column}: "' for column in COLUMNS[1:])]] * 6
    manager.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    manager.driver.set_window_size(1280, 800)
    assert manager.driver.execute_script(names) == [["none"] * len(COLUMNS)] * 6


@WIDTHS
def test_a_bar_is_as_long_as_the_number_beside_it_says(rich, width):
    manager = rich(width)
    bars = manager.driver.execute_script("""return [...document.querySelectorAll('.lbsticky i')].map(bar =>
        [bar.clientWidth, getComputedStyle(bar).backgroundSize, bar.parentNode.textContent])""")
    assert len(bars) == 12 and len({number for _, _, number in bars}) > 4
    for whole, part, number in bars:
        assert whole > 50 and float(part.removesuffix("% 100%")) == float(number.removesuffix("%"))


@WIDTHS
def test_a_screen_reader_is_told_that_the_table_is_one(rich, width):
    manager = rich(width)
    nodes = manager.driver.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    by_id = {node["nodeId"]: node for node in nodes}

    def role(node):
        return node.get("role", {}).get("value")

    def below(node, wanted):
        for child in (by_id[child] for child in node.get("childIds", []) if child in by_id):
            yield from [child] if role(child) == wanted else below(child, wanted)

    [table] = [node for node in nodes if role(node) == "table" and node["name"]["value"] == CAPTION]
    header, sums, *rows = below(table, "row")
    assert [cell["name"]["value"] for cell in below(header, "columnheader")] == COLUMNS
    assert [[cell["name"]["value"] for cell in below(row, "rowheader")] for row in rows] == [
        [manager.members[int(route[-1]) - 1].url] for route in ROUTES]
    assert [cell["name"]["value"] for cell in below(sums, "rowheader")] == ["6 members"]
    assert [len(list(below(row, "cell"))) for row in rows] == [len(COLUMNS) - 1] * 6


def test_the_panel_is_legible_on_white(rich, picture):
    manager = rich(1280, height=1000, times=10, wait=12)
    everywhere = manager.driver.execute_script("""return [...document.querySelectorAll('body, .lbsticky *')]
        .filter(element => !element.closest('style, i')).map(element => getComputedStyle(element))
        .map(style => [style.color, style.backgroundColor].join(' on '))""")
    assert set(everywhere) == {f"rgb(0, 0, 0) on {colour}" for colour in (
        "rgba(0, 0, 0, 0)", "rgb(255, 255, 255)", "rgb(211, 211, 211)")}
    new = picture(manager.driver, "balancer-manager.png", ".lbsticky")
    if os.environ.get("LBSTICKY_PICTURES") or not PICTURE.exists():
        PICTURE.write_bytes(new.read_bytes())
    assert new.stat().st_size < 150_000 and PICTURE.stat().st_size < 150_000
