"""Fixtures: a real httpd with this module, real backends, requests made with curl.

LBSTICKY_MODULE   the module under test (default: build/release/mod_lbmethod_sticky.so)
LBSTICKY_PRELOAD  what to preload into httpd (the sanitizer's run-time library, where the module is built with it)
--mpm             event, worker or prefork
"""

import contextlib
import os
import pathlib
import shutil
import subprocess
import tempfile

import pytest

from backend import Backend
from server import Sent, Server, free_port

ROOT = pathlib.Path(__file__).resolve().parents[2]


def pytest_addoption(parser):
    parser.addoption("--mpm", default="event", choices=["event", "worker", "prefork"])


def pytest_configure(config):
    config.addinivalue_line("markers", "not_with(mpm, why): with this MPM the test is left out, not skipped")


def pytest_collection_modifyitems(config, items):
    mpm = config.getoption("--mpm")
    left_out = [item for item in items if any(mark.args[0] == mpm for mark in item.iter_markers("not_with"))]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


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
    """backends(n): n started Backends, called "backend1", "backend2", …; options are those of Backend."""
    started = []

    def start(count, **options):
        new = [Backend(f"backend{len(started) + i + 1}", **options) for i in range(count)]
        started.extend(new)
        return new

    yield start
    for backend in started:
        backend.gate.set()  # or httpd, which is stopped later, would wait for it
        backend.stop()


@pytest.fixture
def send():
    """send(server, path, curl's arguments, cookie=…): a Sent request. Those that still run at the end are aborted."""
    sent = []

    def start(server, *arguments, **options):
        sent.append(Sent(server, *arguments, **options))
        return sent[-1]

    yield start
    for request in sent:
        if request.curl.poll() is None:
            request.abort()


@pytest.fixture
def open_folder():
    """A folder that httpd's children can read. Its name is short, since a socket's path has at most 107 characters."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="lbsticky-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    """The files of a certificate for 127.0.0.1 and its key."""
    folder = tmp_path_factory.mktemp("certificate")
    files = folder / "certificate.pem", folder / "key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-addext",
                    "basicConstraints=critical,CA:FALSE", "-out", files[0], "-keyout", files[1]],
                   check=True, capture_output=True)
    return files


@pytest.fixture
def tls_server(httpd, certificate):
    """tls_server(configuration): a started Server that answers at an HTTPS port too, asked at that port."""
    def start(configuration, modules=(), **options):
        port = free_port()
        server = httpd(f"""
            Listen 127.0.0.1:{port}
            <VirtualHost 127.0.0.1:{port}>
                ServerName 127.0.0.1
                SSLEngine On
                SSLCertificateFile {certificate[0]}
                SSLCertificateKeyFile {certificate[1]}
            </VirtualHost>
            """ + configuration, modules=["ssl", *modules], **options)
        return server.at(port, "https")
    return start


@pytest.fixture
def cleanup():
    with contextlib.ExitStack() as stack:
        yield stack
