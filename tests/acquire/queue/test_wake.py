"""Wakes, on every carrier: what is told reaches who waits, here and elsewhere; a lost one costs only the wait."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

import acquire_servers
from isthmus.acquire.queue.wake import LocalWake, NatsWake, PostgresWake, Wake
from isthmus.core.errors import InputError

LONG_S = 30.0


@pytest.fixture(scope="session")
def nats_address() -> Iterator[str]:
    with acquire_servers.nats() as address:
        yield address


@pytest.fixture(params=["local", "postgres", "nats"])
def pair(request: pytest.FixtureRequest) -> Iterator[tuple[Wake, Wake]]:
    """Two ends: one where something is told, one where somebody waits."""
    make: Callable[[], Wake]
    if request.param == "local":
        both = LocalWake()
        yield both, both
        both.close()
        return
    if request.param == "postgres":
        dsn = request.getfixturevalue("postgres").dsn

        def make() -> Wake:
            wake = PostgresWake(dsn)
            assert wake.ready(LONG_S)
            return wake
    else:
        address = request.getfixturevalue("nats_address")

        def make() -> Wake:
            wake = NatsWake(address)
            assert wake.ready(LONG_S)
            return wake

    here, there = make(), make()
    yield here, there
    here.close()
    there.close()


def test_who_waits_is_woken(pair: tuple[Wake, Wake]) -> None:
    here, there = pair
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(there.wait, "public", LONG_S)
        here.tell("public")
        assert waiting.result(LONG_S)


def test_what_was_told_before_ends_the_next_wait_once(pair: tuple[Wake, Wake]) -> None:
    here, there = pair
    here.tell("public")
    assert there.wait("public", LONG_S)
    assert not there.wait("intranet", 0.0)


def test_a_wait_ends_by_itself(pair: tuple[Wake, Wake]) -> None:
    assert not pair[1].wait("public", 0.01)


def test_closing_ends_all_waits() -> None:
    wake = LocalWake()
    with ThreadPoolExecutor(2) as pool:
        waits = [pool.submit(wake.wait, "public", LONG_S) for _ in range(2)]
        wake.close()
        assert [wait.result(LONG_S) for wait in waits] == [False, False]


def test_one_word_wakes_all_who_wait_here() -> None:
    wake = LocalWake()
    begun = threading.Barrier(4)

    def wait() -> bool:
        begun.wait(LONG_S)
        return wake.wait("public", LONG_S)

    with ThreadPoolExecutor(3) as pool:
        waits = [pool.submit(wait) for _ in range(3)]
        begun.wait(LONG_S)
        while not all(one.done() for one in waits):
            wake.tell("public")
        assert [one.result() for one in waits] == [True] * 3


def test_postgres_wakes_again_after_it_was_away() -> None:
    with acquire_servers.postgres() as server:
        here, there = PostgresWake(server.dsn), PostgresWake(server.dsn)
        assert here.ready(LONG_S)
        assert there.ready(LONG_S)
        server.stop()
        here.tell("public")  # lost, and nobody minds
        assert here.wait("public", LONG_S)
        server.start()
        woken = False
        for _ in range(200):
            here.tell("public")
            if woken := there.wait("public", 0.1):
                break
        assert woken
        here.close()
        there.close()


def test_a_nats_server_that_is_away_keeps_nobody_from_working() -> None:
    pytest.importorskip("nats")
    wake = NatsWake(f"nats://127.0.0.1:{acquire_servers.free_port()}")
    assert not wake.ready(0.0)
    wake.tell("public")
    assert wake.wait("public", LONG_S)
    wake.close()


@pytest.mark.parametrize("address", ["nats://127.0.0.1:port", "http://127.0.0.1", "127.0.0.1:4222", ""])
def test_what_is_no_address_is_told(address: str) -> None:
    pytest.importorskip("nats")
    with pytest.raises(InputError, match="nats://host:port"):
        NatsWake(address)
