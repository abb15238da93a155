"""Fixtures: headless Chromium before a real httpd. What tests/integration has can be used here too."""

import base64
import pathlib

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

pytest_plugins = ["integration.conftest"]

# Beside the results of tests/run.sh.
REPORTS = pathlib.Path(__file__).resolve().parents[2] / "build/reports"

FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
         "--disable-sync", "--no-first-run", "--ignore-certificate-errors"]


@pytest.fixture
def browser(tmp_path):
    """browser(): a started Chromium with a profile of its own and a desktop's width; a phone has width=390."""
    started = []

    def start(width=1280, height=800, third_party_cookies=False):
        options = webdriver.ChromeOptions()
        options.binary_location = "/usr/bin/chromium"
        for flag in [*FLAGS, f"--user-data-dir={tmp_path}/profile{len(started)}"]:
            options.add_argument(flag)
        options.add_experimental_option("prefs", {"profile.cookie_controls_mode": 0 if third_party_cookies else 1})
        driver = webdriver.Chrome(service=Service("/usr/bin/chromedriver"), options=options)
        started.append(driver)
        # A window cannot be as narrow as a phone. As there, a page that sets no viewport is laid out 980 wide.
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride",
                               {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600})
        return driver

    yield start
    for driver in started:
        driver.quit()


@pytest.fixture
def picture():
    """picture(browser, name, first, last): writes, into REPORTS, what the page shows from one element to another."""
    def take(browser, name, first, last=None):
        box = browser.execute_script("""const [first, last] = [...arguments].map(selector =>
                document.querySelector(selector).getBoundingClientRect());
            return {x: 0, y: first.y + scrollY - 8, width: innerWidth, height: last.bottom - first.y + 16, scale: 1}""",
                                     first, last or first)
        shot = browser.execute_cdp_cmd("Page.captureScreenshot", {"clip": box, "captureBeyondViewport": True})
        REPORTS.mkdir(parents=True, exist_ok=True)
        path = REPORTS / name
        path.write_bytes(base64.b64decode(shot["data"]))
        return path

    return take
