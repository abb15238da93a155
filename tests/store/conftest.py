import pytest

from stores import KINDS, Driver


@pytest.fixture
def start(tmp_path):
    """Starts real stores: start("redis", *options)."""
    stores = []

    def starter(kind, *options, port=None):
        store = KINDS[kind](tmp_path, port, *options)
        stores.append(store)
        return store.start()

    yield starter
    for store in stores:
        store.stop()


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
