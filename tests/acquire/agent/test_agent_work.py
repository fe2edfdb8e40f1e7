from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from agent_doubles import InventingFetcher, Ledgerlet, MemoryDesk, proven
from isthmus.acquire.agent.refusal import Unacceptable
from isthmus.acquire.agent.settings import AgentSettings
from isthmus.acquire.agent.spool import Spool
from isthmus.acquire.agent.work import Agent
from isthmus.acquire.failure import Kind
from isthmus.core.errors import Busy, IsthmusError, Refused

QUICK = AgentSettings(wait_s=0.05, spool_after_s=0.05, least_pause_s=0.01, most_pause_s=0.05, stop_s=5)


class Now:
    def now(self) -> datetime:
        return datetime.now(UTC)


class Site:
    """An agent with its doubles in a folder."""

    def __init__(self, folder: Path, count: int, settings: AgentSettings = QUICK, lease_s: float = 60.0) -> None:
        (folder / "fetched").mkdir(exist_ok=True)
        self.folder, self.settings = folder, settings
        self.ledger = Ledgerlet(count, lease_s)
        self.desk = MemoryDesk(self.ledger, folder)
        self.fetcher = InventingFetcher(folder / "fetched")
        self.said: list[tuple[str, dict[str, Any]]] = []
        self.spool = self.new_spool()

    def new_spool(self) -> Spool:
        return Spool(self.folder / "spool", self.settings.spool_bytes)

    def say(self, event: str, /, *, level: str = "info", **fields: object) -> None:
        self.said.append((event, fields))

    @contextmanager
    def running(self) -> Iterator[Callable[[], None]]:
        stop, died = threading.Event(), list[BaseException]()
        agent = Agent(self.desk, self.fetcher, self.spool, self.settings, Now(), self.say)

        def run() -> None:
            try:
                agent.run(stop)
            except (IsthmusError, OSError) as error:
                died.append(error)

        thread = threading.Thread(target=run)
        thread.start()

        def end() -> None:
            stop.set()
            thread.join(20)
            assert not thread.is_alive()
            if died:
                raise died[0]

        try:
            yield end
        finally:
            stop.set()
            thread.join(20)


def wait_for(condition: Callable[[], bool], what: str = "") -> None:
    gate = threading.Event()
    for _ in range(6000):
        if condition():
            return
        gate.wait(0.01)
    raise AssertionError(f"never came: {what}")


def test_every_request_is_delivered_once_with_its_trace(tmp_path: Path) -> None:
    site = Site(tmp_path, 500)
    site.fetcher.fails = lambda address: address.endswith("7")
    with site.running() as end:
        assert site.ledger.all_ended()
        end()
    assert len(site.ledger.filed) == 450 and len(site.ledger.failed) == 50
    assert proven(site.ledger)
    assert set(site.ledger.verdicts) == {"filed", "noted"}
    assert max(map(len, site.desk.deliveries)) == 16
    assert len(site.desk.deliveries) < 100
    items = [item for event, fields in site.said if event == "delivered" for item in fields["items"]]
    assert sorted(item["trace"] for item in items) == sorted(f"trace-{n}" for n in range(1, 501))


def test_a_slow_storage_server_does_not_hold_back_the_results_of_others(tmp_path: Path) -> None:
    site = Site(tmp_path, 20)
    site.fetcher.slow = lambda address: address in ("mem://1", "mem://2")
    with site.running():
        wait_for(lambda: site.ledger.ended == 18, "the results of others")
        site.fetcher.let()
        assert site.ledger.all_ended()


def test_large_content_travels_alone_and_leaves_no_file_behind(tmp_path: Path) -> None:
    site = Site(tmp_path, 30)
    site.fetcher.size = lambda address: 300 << 10 if address.endswith("3") else 2000
    with site.running() as end:
        assert site.ledger.all_ended()
        end()
    assert [3] in site.desk.deliveries and [13] in site.desk.deliveries and [23] in site.desk.deliveries
    assert not list((tmp_path / "fetched").iterdir())


def test_a_server_that_is_away_gets_everything_once_it_is_back(tmp_path: Path) -> None:
    site = Site(tmp_path, 200)
    away = threading.Event()
    away.set()

    def fault(what: str, number: int) -> None:
        if what == "deliver" and away.is_set():
            raise Busy("away")

    site.desk.fault = fault
    site.fetcher.size = lambda address: 300 << 10 if address == "mem://5" else 2000
    with site.running() as end:
        wait_for(lambda: len(site.spool) > 2, "results on the disk")
        wait_for(lambda: not site.fetcher._done, "all fetched")
        away.clear()
        assert site.ledger.all_ended()
        end()
    assert len(site.spool) == 0 and not list((tmp_path / "spool").iterdir())
    assert len(site.ledger.filed) == 200
    assert [event for event, _ in site.said if event in ("server away", "server back")][:2] == [
        "server away",
        "server back",
    ]


def test_what_is_on_the_disk_is_delivered_first_after_a_restart_under_its_old_fences(tmp_path: Path) -> None:
    site = Site(tmp_path, 40)

    def away(what: str, number: int) -> None:
        if what in ("deliver", "release", "beat"):
            raise Busy("away")

    site.desk.fault = away
    with site.running() as end:
        wait_for(lambda: not site.ledger.queued and not site.fetcher._done, "all fetched")
        end()
    assert site.ledger.ended == 0 and len(site.spool) > 0
    site.desk.fault = lambda what, number: None
    site.desk.deliveries.clear()
    site.spool, site.fetcher = site.new_spool(), InventingFetcher(tmp_path / "fetched")
    site.ledger.ask(5)
    with site.running() as end:
        assert site.ledger.all_ended()
        end()
    assert len(site.ledger.filed) == 45 and site.ledger.verdicts == {"filed": 45}
    assert sorted(site.fetcher.placed) == sorted(
        f"mem://{n}" for n in range(41, 46)
    )  # the rest came from the disk
    assert site.desk.deliveries[0][0] <= 40


def test_an_answer_that_is_lost_brings_the_results_again_and_they_count_once(tmp_path: Path) -> None:
    site = Site(tmp_path, 300)
    site.desk.cut = lambda number: number % 3 == 1
    with site.running() as end:
        assert site.ledger.all_ended()
        wait_for(lambda: bool(site.ledger.verdicts["again"]), "a repetition")
        end()
    assert proven(site.ledger) and len(site.ledger.filed) == 300


def test_results_that_are_to_come_later_do_come_later(tmp_path: Path) -> None:
    site = Site(tmp_path, 64)
    said: dict[int, int] = {}

    def later(request: int) -> bool:
        said[request] = said.get(request, 0) + 1
        return request % 2 == 0 and said[request] < 3

    site.desk.later = later
    with site.running() as end:
        assert site.ledger.all_ended()
        end()
    assert proven(site.ledger) and len(site.ledger.filed) == 64


def test_an_orderly_stop_gives_back_what_was_not_begun_and_delivers_what_has_come(tmp_path: Path) -> None:
    site = Site(tmp_path, 300)
    site.fetcher.slow = lambda address: True
    with site.running() as end:
        wait_for(lambda: len(site.fetcher.placed) == 64, "a full fetcher")
        site.desk.fault = lambda what, number: site.fetcher.let() if what == "release" else None
        end()
    assert len(site.ledger.filed) == 64
    assert not site.ledger.leased and len(site.ledger.queued) == 236


def test_a_stop_does_not_wait_for_a_storage_server_that_never_answers(tmp_path: Path) -> None:
    site = Site(tmp_path, 3, AgentSettings(wait_s=0.05, stop_s=0.1))
    site.fetcher.slow = lambda address: True
    with site.running() as end:
        wait_for(lambda: len(site.fetcher.placed) == 3, "three orders")
        end()
    assert not site.ledger.leased and len(site.ledger.queued) == 3
    assert len(site.fetcher.dropped) == 3


def test_tasks_that_are_somebody_elses_now_are_dropped(tmp_path: Path) -> None:
    site = Site(tmp_path, 10, lease_s=0.3)
    site.fetcher.slow = lambda address: True
    with site.running():
        wait_for(lambda: len(site.fetcher.placed) == 10, "ten orders")
        with site.ledger.lock:
            for number in (3, 4):
                site.ledger.leased.pop(number)
                site.ledger.fences[number] += 1  # another agent's
                site.ledger.leased[number] = float("inf")
        wait_for(lambda: len(site.fetcher.dropped) == 2, "two dropped")
        assert not site.ledger.queued  # the heartbeats kept the others
        site.fetcher.let()


def _bytes_in(folder: Path) -> int:
    size = 0
    for file in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):  # renamed meanwhile by a line that still writes
            size += file.stat().st_size
    return size


def test_a_full_spool_stops_the_claims_and_nothing_is_lost(tmp_path: Path) -> None:
    settings = AgentSettings(
        wait_s=0.05,
        spool_after_s=0.0,
        spool_bytes=1_000_000,
        most_memory=1 << 20,
        least_pause_s=0.01,
        most_pause_s=0.05,
    )
    site = Site(tmp_path, 800, settings)
    site.fetcher.size = lambda address: 20_000
    away = threading.Event()
    away.set()

    def fault(what: str, number: int) -> None:
        if what == "deliver" and away.is_set():
            raise Busy("away")

    site.desk.fault = fault
    with site.running() as end:
        wait_for(lambda: len(site.spool) > 0, "a spool in use")
        wait_for(lambda: site.fetcher.room() == 64 and not site.fetcher._done, "a fetcher at rest")
        assert _bytes_in(tmp_path / "spool") <= 1_000_000
        assert len(site.fetcher.placed) < 400
        away.clear()
        assert site.ledger.all_ended()
        end()
    assert proven(site.ledger, 20_000) and len(site.ledger.filed) == 800


def test_what_the_server_will_never_take_ends_as_a_failure_of_its_request_alone(tmp_path: Path) -> None:
    site = Site(tmp_path, 40)

    def fault(what: str, number: int) -> None:
        if what == "deliver" and 9 in site.desk.deliveries[number - 1] and 9 not in seen:
            if site.desk.deliveries[number - 1] == [9]:
                seen.add(9)
            raise Unacceptable("no", too_large=True)

    seen: set[int] = set()
    site.desk.fault = fault
    with site.running() as end:
        assert site.ledger.all_ended()
        end()
    assert list(site.ledger.failed) == [9] and site.ledger.failed[9].kind is Kind.TOO_LARGE
    assert len(site.ledger.filed) == 39


def test_a_new_callback_is_learned_where_the_old_one_is_refused(tmp_path: Path) -> None:
    site = Site(tmp_path, 40)
    right = "http://127.0.0.1:1/v1/deliveries/new"
    inner = site.desk.deliver

    def deliver(callback: str, parcels: Any) -> Any:
        if callback != right:
            site.desk.callback = right
            raise Refused("404")
        return inner(callback, parcels)

    site.desk.deliver = deliver  # type: ignore[method-assign]
    with site.running() as end:
        assert site.ledger.all_ended()
        end()
    assert proven(site.ledger)


def test_an_agent_that_is_not_accepted_ends_with_the_reason(tmp_path: Path) -> None:
    site = Site(tmp_path, 1)

    def fault(what: str, number: int) -> None:
        raise Refused("the key is not known")

    site.desk.fault = fault
    with site.running() as end:
        wait_for(lambda: bool(site.desk.claims), "a claim")
        with pytest.raises(Refused, match="not known"):
            end()


def test_a_claim_that_fails_is_made_again(tmp_path: Path) -> None:
    site = Site(tmp_path, 50)

    def fault(what: str, number: int) -> None:
        if what == "claim" and number < 4:
            raise Busy("away")

    site.desk.fault = fault
    with site.running() as end:
        assert site.ledger.all_ended()
        end()
    assert proven(site.ledger)
