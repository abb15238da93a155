"""balancer-manager in a browser: what is changed through its forms is seen in the panel, which everybody can read."""

import os
import pathlib
import re

import pytest
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select, WebDriverWait

from server import MANAGER, cluster

PICTURE = pathlib.Path(__file__).with_name("balancer-manager.png")
SESSION = "JSESSIONID=12345"
OWN = "lbsticky_shop"
COLUMNS = ["Member", "Status", "Route", "Cookie value", "Share by weight", "Share of new sessions",
           "In flight", "Sessions", "cookie", "route", "learned", "hash", "new", "failover", "overload", "Moved away",
           "Last sticky request"]
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
        return self.driver.execute_script(ROWS)

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
    assert manager.column("new") == ["2", "4", "2"]


def test_a_member_that_is_drained_says_how_long_no_sticky_request_has_come(manager):
    manager = manager()
    assert manager.column("Last sticky request") == ["never"] * 3
    manager.follow(manager.members[2].url)
    manager.tick("w_status_N1")
    manager.submit()
    assert manager.column("Status") == ["usable", "usable", "usable draining"]
    assert manager.column("Share by weight") == ["50.0%", "50.0%", "0.0%"]
    assert manager.column("Last sticky request")[:2] == ["never", "never"]
    assert re.fullmatch(r"draining for \d+ s: no sticky request ever", manager.column("Last sticky request")[2])

    assert manager.server.curl("/shop", cookie=f"{OWN}=.node3").body == "backend3"
    assert set(manager.server.bodies(4, path="/shop")) == {"backend1", "backend2"}
    manager.open()
    assert re.fullmatch(r"draining for \d+ s: no sticky request for \d+ s", manager.column("Last sticky request")[2])
    assert manager.column("cookie") == ["0", "0", "1"] and manager.column("new") == ["2", "2", "0"]


def test_a_member_that_is_added_has_a_row_and_a_share_as_soon_as_it_is_enabled(manager, backends):
    manager = manager()
    [member] = backends(1)
    manager.follow("balancer://shop")
    manager.fill_in("b_nwrkr", member.url)
    manager.tick("b_wyes")
    manager.submit()
    assert manager.column("Member") == [one.url for one in [*manager.members, member]]
    assert manager.rows()[3]["Status"] == "disabled" and manager.rows()[3]["Share by weight"] == "0.0%"

    manager.follow(member.url)
    manager.fill_in("w_wr", "node4")
    manager.tick("w_status_D0")
    manager.submit()
    row = manager.rows()[3]
    assert [row[column] for column in ("Status", "Route", "Cookie value", "Share by weight")] == [
        "usable", "node4", ".node4", "25.0%"]
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


# -- what the panel looks like ------------------------------------------------------------------------------------

def everything(manager):
    """Requests of every kind, a weight, and a member that is drained."""
    server, urls = manager.server, [member.url for member in manager.members]
    server.manager("shop", urls[0], w_lf="2")
    server.bodies(12, path="/shop")
    for number, count in ((1, 14), (2, 6), (3, 3)):
        server.bodies(count, path="/shop", cookie=f"{SESSION}.node{number}")
        server.bodies(count + 2, path="/shop", cookie=f"{OWN}=.node{number}")
    for number in range(9):
        server.curl("/shop", cookie=f"JSESSIONID=id{number}")
    server.manager("shop", urls[1], w_status_D="1")
    server.bodies(2, path="/shop", cookie=f"{SESSION}.node2")
    server.manager("shop", urls[1], w_status_D="0")
    server.bodies(1, path="/shop", cookie=f"{OWN}=.nobody")
    server.manager("shop", urls[2], w_status_N="1")
    manager.open()
    return manager


@pytest.fixture
def rich(manager):
    """rich(width): a Manager after requests of every kind."""
    return lambda width, **options: everything(manager(width, more="LBStickySession JSESSIONID", **options))


WIDTHS = pytest.mark.parametrize("width", [1280, 390], ids=["desktop", "phone"])
OUTSIDE = """return [...document.querySelectorAll('.lbsticky, .lbsticky *')].filter(element =>
    !element.closest('thead, style')).map(element => [element.outerHTML, element.getBoundingClientRect()])
    .filter(([_, box]) => box.left < 0 || box.right > arguments[0]).map(([html, _]) => html)"""


@WIDTHS
def test_the_panel_is_no_wider_than_the_screen(rich, picture, width):
    manager = rich(width)
    picture(manager.driver, f"panel-{width}.png", ".lbsticky")
    assert manager.driver.execute_script(OUTSIDE, width) == []
    heights = manager.driver.execute_script("""return [...document.querySelectorAll('.lbsticky td, .lbsticky tbody th')]
        .map(cell => cell.getBoundingClientRect().height)""")
    assert len(heights) == 3 * len(COLUMNS) and min(heights) > 10  # all of them are there to be seen


def test_on_a_phone_each_number_says_what_it_is_and_on_a_desktop_its_column_does(rich):
    names = """return [...document.querySelectorAll('.lbsticky tbody tr')].map(row => [...row.cells].map(
        cell => getComputedStyle(cell, '::before').content))"""
    assert rich(390).driver.execute_script(names) == [["none", *(f'"{column}: "' for column in COLUMNS[1:])]] * 3
    assert rich(1280).driver.execute_script(names) == [["none"] * len(COLUMNS)] * 3


@WIDTHS
def test_a_bar_is_as_long_as_the_number_beside_it_says(rich, width):
    manager = rich(width)
    bars = manager.driver.execute_script("""return [...document.querySelectorAll('.lbsticky i')].map(bar =>
        [bar.clientWidth, getComputedStyle(bar).backgroundSize, bar.parentNode.textContent])""")
    assert len(bars) == 6 and [number for _, _, number in bars][::2] == ["66.7%", "33.3%", "0.0%"]
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

    [table] = [node for node in nodes
               if role(node) == "table" and node["name"]["value"] == "Requests of each member, by affinity"]
    header, *rows = below(table, "row")
    assert [cell["name"]["value"] for cell in below(header, "columnheader")] == COLUMNS
    assert [[cell["name"]["value"] for cell in below(row, "rowheader")] for row in rows] == [
        [member.url] for member in manager.members]
    assert [len(list(below(row, "cell"))) for row in rows] == [len(COLUMNS) - 1] * 3


def test_the_panel_is_legible_on_white(rich, picture):
    manager = rich(1280, height=1000)
    everywhere = manager.driver.execute_script("""return [...document.querySelectorAll('body, .lbsticky *')]
        .filter(element => !element.closest('style, i')).map(element => getComputedStyle(element))
        .map(style => [style.color, style.backgroundColor].join(' on '))""")
    assert set(everywhere) == {f"rgb(0, 0, 0) on {colour}" for colour in (
        "rgba(0, 0, 0, 0)", "rgb(255, 255, 255)", "rgb(211, 211, 211)")}
    new = picture(manager.driver, "balancer-manager.png", "h3", ".lbsticky")
    if os.environ.get("LBSTICKY_PICTURES") or not PICTURE.exists():
        PICTURE.write_bytes(new.read_bytes())
    assert new.stat().st_size < 150_000 and PICTURE.stat().st_size < 150_000
