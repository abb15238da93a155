import pytest

from driver import Driver
from stores import KINDS, starter


@pytest.fixture
def start(tmp_path):
    """Starts real stores: start("redis", *options)."""
    with starter(tmp_path) as start:
        yield start


@pytest.fixture
def drive():
    """Starts drivers: drive(address, *words). They end in bounded time, whatever state the store is in."""
    drivers = []

    def driver(*words):
        drivers.append(Driver(*words))
        return drivers[-1]

    yield driver
    try:
        for one in drivers:
            if one.process.poll() is None:
                assert one.end() < 3000
    finally:
        for one in drivers:
            one.process.kill()
            one.process.wait()


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param
