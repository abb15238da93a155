"""What is put into a real store is found there, by whoever knows the way in."""

import hashlib
import time

import pytest

from stores import free_port, wait_until

DAY = 24 * 3600


def test_what_one_process_puts_another_one_finds(kind, start, drive):
    store = start(kind)
    one, other = drive(store.address, "timeout=1s"), drive(store.address, "timeout=1s")
    one.put("key", "1_node1_17")
    assert other.look("key") == "1_node1_17"
    assert other.look("another") is None
    counts = other.counts()
    assert (counts["hits"], counts["misses"], counts["failures"], counts["state"]) == (1, 1, 0, "here")
    assert counts["events"] == []


def test_a_value_is_replaced_or_left_as_is_asked_for(kind, start, drive):
    driver = drive(start(kind).address, "timeout=1s")
    driver.put("key", "first", mode="add")
    driver.put("key", "second", mode="add")
    assert driver.look("key") == "first"
    driver.put("key", "third")
    assert driver.look("key") == "third"


def test_a_value_lives_as_long_as_it_is_to(kind, start, drive):
    driver = drive(start(kind).address, "timeout=1s")
    driver.put("short", "value", life=1)
    driver.put("long", "value", life=600)
    driver.put("longest", "value", life=40 * DAY)  # to memcached this is a date, if it is not made one
    wait_until(lambda: driver.look("short") is None)
    assert driver.look("long") == driver.look("longest") == "value"


def test_redis_is_told_the_life_in_seconds(start, drive):
    store = start("redis")
    driver = drive(store.address, "timeout=1s")
    driver.put("key", "value", life=40 * DAY)
    assert 40 * DAY - 100 < int(store.ask("TTL key")[1:]) <= 40 * DAY


def test_a_key_that_was_a_miss_is_not_asked_for_again_until_it_is_put(kind, start, drive):
    driver = drive(start(kind).address, "timeout=1s")
    for _ in range(10):
        assert driver.look("key") is None
    counts = driver.counts()
    assert (counts["misses"], counts["remembered"]) == (1, 9)
    driver.put("key", "value")
    assert driver.look("key") == "value"


def test_a_miss_is_forgotten_after_some_seconds(kind, start, drive):
    store = start(kind)
    one, other = drive(store.address, "timeout=1s"), drive(store.address, "timeout=1s")
    assert one.look("key") is None
    other.put("key", "value")
    wait_until(lambda: one.look("key") == "value")


@pytest.mark.parametrize("credentials, options", [
    (":secret", ["--requirepass", "secret"]),
    (":a%40%2F%3A%25b", ["--requirepass", "a@/:%b"]),
    ("bob:secret", ["--user", "bob", "on", ">secret", "~*", "+@all", "--user", "default", "off"]),
    ("b%3Aob:s%20et", ["--requirepass", "other", "--user", "b:ob", "on",
                       "#" + hashlib.sha256(b"s et").hexdigest(), "~*", "+@all"]),
])
def test_redis_lets_in_who_knows_the_password(start, drive, credentials, options):
    store = start("redis", *options)
    driver = drive(f"redis://{credentials}@127.0.0.1:{store.port}")
    driver.put("key", "value")
    assert driver.look("key") == "value"


def test_a_user_of_redis_needs_no_more_than_get_and_set_of_its_prefix(start, drive):
    store = start("redis", "--user", "bob", "on", ">secret", "~mine:*", "+get", "+set")
    driver = drive(f"redis://bob:secret@127.0.0.1:{store.port}", "timeout=1s")
    driver.put("mine:key", "value")
    assert driver.look("mine:key") == "value"
    store.stop()
    driver("put 600 set mine:other value")
    wait_until(lambda: driver.events() == ["away"])
    store.start()
    wait_until(lambda: driver.events() == ["away", "back"])
    wait_until(lambda: driver.counts()["stored"] == 2)


def test_redis_database_is_the_one_of_the_address(start, drive):
    store = start("redis", "--requirepass", "secret")
    driver = drive(f"redis://:secret@127.0.0.1:{store.port}/7")
    driver.put("key", "value")
    assert driver.look("key") == "value"
    assert store.keys("AUTH secret", "SELECT 7") == 1
    assert store.keys("AUTH secret") == 0


@pytest.mark.parametrize("credentials, reason", [
    ("", "NOAUTH Authentication required."),
    (":other-secret@", "AUTH was refused: WRONGPASS"),
    ("bob:other-secret@", "AUTH was refused: WRONGPASS"),
])
def test_who_does_not_know_the_password_is_told_so_without_it(start, drive, credentials, reason):
    store = start("redis", "--requirepass", "secret")
    driver = drive(f"redis://{credentials}127.0.0.1:{store.port}")
    driver("put 100 set key value")
    assert wait_until(lambda: driver.counts()["events"]) == [["away", reason]]


def test_a_database_that_is_not_there_is_told(start, drive):
    store = start("redis")
    driver = drive(f"redis://127.0.0.1:{store.port}/1000")
    driver("put 100 set key value")
    assert wait_until(lambda: driver.counts()["events"]) == [["away", "SELECT was refused: ERR"]]


def test_a_host_is_found_by_its_name(kind, start, drive):
    store = start(kind)
    driver = drive(f"{kind}://localhost:{store.port}")
    driver.put("key", "value")
    assert driver.look("key") == "value"


def test_a_host_whose_name_nobody_knows_is_away(kind, drive):
    driver = drive(f"{kind}://nobody.invalid:{free_port()}")
    driver("put 100 set key value")
    wait_until(lambda: driver.events() == ["away"], 60)
    assert driver.look("key") is None


def test_no_more_than_a_thousand_look_ups_a_second(kind, start, drive):
    """The first second's allowance is there at the beginning. 160 threads that wait for 100 ms at most ask for more
    than that, if not for much more where the machine is busy: then it takes longer until the allowance is used up."""
    store = start(kind)
    driver = drive(store.address, "timeout=100ms")
    begin = time.monotonic()
    looks = 0
    for number in range(20):
        looks += driver.work(160, 1, f"key{number}")["looks"]
        if number >= 2 and driver.counts()["capped"]:
            break
    passed = time.monotonic() - begin
    counts = driver.counts()
    assert counts["misses"] + counts["unanswered"] <= 1000 * (passed + 1)
    assert counts["capped"] > 0, "too few to tell"
    assert counts["misses"] + counts["unanswered"] + counts["capped"] == looks


def test_what_waits_is_stored_at_the_end(kind, start, drive):
    store = start(kind)
    driver = drive(store.address, "timeout=1s")
    for number in range(200):
        driver(f"put 600 set key{number} value")
    driver.end()
    assert store.keys() == 200
