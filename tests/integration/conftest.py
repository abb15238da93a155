"""Fixtures: a real httpd with this module, real backends, requests made with curl.

LBSTICKY_MODULE   the module under test (default: build/release/mod_lbmethod_sticky.so)
LBSTICKY_PRELOAD  what to preload into httpd (the sanitizer's run-time library, where the module is built with it)
--mpm             event, worker or prefork
"""

import os
import pathlib

import pytest

from backend import Backend
from server import Server

ROOT = pathlib.Path(__file__).resolve().parents[2]


def pytest_addoption(parser):
    parser.addoption("--mpm", default="event", choices=["event", "worker", "prefork"])


@pytest.fixture(scope="session")
def module():
    path = pathlib.Path(os.environ.get("LBSTICKY_MODULE", ROOT / "build/release/mod_lbmethod_sticky.so"))
    assert path.is_file(), f"no module at {path}: build it, or set LBSTICKY_MODULE"
    return path.resolve()


@pytest.fixture
def httpd(module, tmp_path, request):
    """httpd(configuration): a started Server. At the end of the test its error log must hold nothing unexpected."""
    servers = []

    def start(configuration, **options):
        folder = tmp_path / f"httpd{len(servers)}"
        server = Server(folder, module, configuration, mpm=options.pop("mpm", request.config.getoption("--mpm")), **options)
        servers.append(server)
        server.start()
        return server

    yield start
    for server in servers:
        server.stop()
    for server in servers:
        server.check_log()


@pytest.fixture
def backends():
    """backends(n): n started Backends, called "backend1", "backend2", …"""
    started = []

    def start(count):
        new = [Backend(f"backend{len(started) + i + 1}") for i in range(count)]
        started.extend(new)
        return new

    yield start
    for backend in started:
        backend.stop()
