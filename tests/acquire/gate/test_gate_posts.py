from __future__ import annotations

import random
import shutil
import threading
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import bson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_doubles import InventingFetcher, Ledgerlet, MemoryDesk, proven
from examples import examples
from full_disk import Disk
from gate_posts import SENDS, OfficeSide, OutpostSide, carry, made, there, there_and_back
from isthmus.acquire.agent.refusal import Unacceptable
from isthmus.acquire.agent.settings import AgentSettings
from isthmus.acquire.agent.spool import Spool
from isthmus.acquire.agent.work import Agent
from isthmus.acquire.gate.settings import GateSettings
from isthmus.acquire.ports import Got, Held, Parcel, Verdict
from isthmus.core.errors import Busy, Refused


class Now:
    def now(self) -> datetime:
        return datetime.now(UTC)


def test_requests_go_out_and_results_come_back_through_folders(tmp_path: Path) -> None:
    ledger = Ledgerlet(60)
    office, outpost = OfficeSide(tmp_path, MemoryDesk(ledger, tmp_path)), OutpostSide(tmp_path)
    sizes = {5: 300 << 10, 6: 5 << 20}
    there(tmp_path, office, outpost)
    assert set(outpost.work(size=lambda request: sizes.get(request, 2000))) == {"noted"}
    outpost.round()
    carry(tmp_path)
    office.round()
    assert len(ledger.filed) == 54 and len(ledger.failed) == 6
    assert not list((tmp_path / "large").iterdir())
    carry(tmp_path)
    outpost.round()
    assert outpost.outpost.results.counts() == {"records": 0}  # the withdrawals told that all has arrived
    assert office.office.tasks.counts() == {"records": 0}
    outpost.round()
    carry(tmp_path)
    office.round()
    assert office.store.rows("SELECT count(*) AS n FROM gate_got")[0]["n"] == 0


def test_requests_and_results_cross_where_only_bson_passes(tmp_path: Path) -> None:
    ledger, plain = Ledgerlet(20), replace(SENDS, format="plain")
    office = OfficeSide(tmp_path, MemoryDesk(ledger, tmp_path), sends=plain)
    outpost = OutpostSide(tmp_path, sends=plain)
    office.round()
    carry(tmp_path, lambda name: name.endswith(".bson"))
    outpost.round()
    outpost.work()
    outpost.round()
    carry(tmp_path, lambda name: name.endswith(".bson"))
    bare = [file for file in (tmp_path / "got-in").glob("*.bson") if "manifest" not in file.name]
    entries = [entry for file in sorted(bare) for entry in bson.decode_all(file.read_bytes())]
    assert [entry["op"] for entry in entries] == ["p"] * 20
    office.round()
    assert ledger.ended == 20 and proven(ledger)


def test_after_a_state_was_made_anew_another_epoch_leads_on(tmp_path: Path) -> None:
    ledger = Ledgerlet(30)
    desk = MemoryDesk(ledger, tmp_path)
    office, outpost = OfficeSide(tmp_path, desk), OutpostSide(tmp_path)
    there(tmp_path, office, outpost)
    outpost.work(most=10)
    outpost.round()
    carry(tmp_path)
    office.round()
    assert ledger.ended == 10
    outpost.work(most=5)
    for file in (*tmp_path.glob("outpost*"), *(tmp_path / "got-in").iterdir()):
        if file.is_dir():  # the agent's disk is lost, but for its key
            shutil.rmtree(file)
        elif file.suffix != ".pem":
            file.unlink()
    outpost = OutpostSide(tmp_path)
    assert outpost.outpost.results.begin_epoch(above=1).epoch == 2
    outpost.outbound.snapshot()
    office.outbound.resend(outpost.inbound.request(snapshot=True))
    for _ in range(3):
        carry(tmp_path)
        outpost.round()
        outpost.work()
        office.round()
    assert ledger.ended == 30 and proven(ledger)
    assert not office.inbound.status().alarms and not outpost.inbound.status().alarms
    assert str(office.inbound.status().standing).startswith("2/")


def test_a_real_agent_works_through_a_gate(tmp_path: Path) -> None:
    ledger = Ledgerlet(100)
    office, outpost = OfficeSide(tmp_path, MemoryDesk(ledger, tmp_path)), OutpostSide(tmp_path)
    (tmp_path / "fetched").mkdir()
    bounds = AgentSettings(wait_s=0.1, stop_s=5)
    agent = Agent(
        outpost.desk,
        InventingFetcher(tmp_path / "fetched"),
        Spool(tmp_path / "spool", bounds.spool_bytes),
        bounds,
        Now(),
    )
    stop = threading.Event()
    thread = threading.Thread(target=agent.run, args=(stop,))
    thread.start()
    try:
        for _ in range(200):
            office.round()
            carry(tmp_path)
            outpost.round()
            carry(tmp_path)
            if ledger.ended == 100:
                break
            stop.wait(0.02)
    finally:
        stop.set()
        thread.join(10)
    assert proven(ledger) and len(ledger.filed) == 100


@settings(max_examples=examples(2), deadline=None)
@given(st.integers(0, 2**32))
def test_whatever_the_gate_loses_repeats_or_disorders_nothing_is_lost_or_counted_twice(seed: int) -> None:
    import tempfile

    dice = random.Random(seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ledger = Ledgerlet(40)
        desk = MemoryDesk(ledger, folder)
        office, outpost = OfficeSide(folder, desk), OutpostSide(folder)
        old: list[tuple[str, Path]] = []
        (folder / "old").mkdir()
        for _ in range(6):
            office.round()
            outpost.round()
            outpost.work(most=dice.randint(1, 12))
            for inside in ("ask-in", "got-in"):
                for file in (folder / inside).iterdir():
                    if not file.name.startswith("."):
                        shutil.copyfile(file, folder / "old" / file.name)
                        old.append((inside.replace("-in", "-out"), folder / "old" / file.name))
            for outside, file in dice.sample(old, min(len(old), dice.randint(0, 4))):  # late, twice, out of order
                shutil.copyfile(file, folder / outside / file.name)
        for _ in range(30):  # and then an operator asks for what is missing
            for side, other in ((office, outpost), (outpost, office)):
                line = other.inbound.request()
                if line:
                    side.outbound.resend(line)
            carry(folder)
            office.round()
            outpost.round()
            outpost.work()
            if ledger.ended == 40 and not outpost.outpost.results.counts()["records"]:
                break
        assert ledger.ended == 40 and proven(ledger)
        assert set(ledger.verdicts) <= {"filed", "noted"}


def test_a_snapshot_heals_a_stream_of_which_nothing_is_kept(tmp_path: Path) -> None:
    bounds = GateSettings(keep_changes=1, keep_bytes=0)
    ledger = Ledgerlet(30)
    office = OfficeSide(tmp_path, MemoryDesk(ledger, tmp_path), settings=bounds)
    outpost = OutpostSide(tmp_path, settings=bounds)
    office.round()
    ledger.ask(10)
    office.round()
    for name in ("ask-in", "ask-out"):
        shutil.rmtree(tmp_path / name)
        (tmp_path / name).mkdir()
    office.outbound.snapshot()
    carry(tmp_path)
    outpost.round()
    assert len(outpost.work()) == 40
    outpost.round()
    outpost.round()
    shutil.rmtree(tmp_path / "got-in")
    (tmp_path / "got-in").mkdir()
    outpost.outbound.snapshot()
    carry(tmp_path)
    office.round()
    assert ledger.ended == 40 and proven(ledger)


def test_what_the_server_wants_no_more_is_withdrawn_and_what_has_no_result_for_long_is_given_back(
    tmp_path: Path,
) -> None:
    ledger = Ledgerlet(4, lease_s=1000)
    desk = MemoryDesk(ledger, tmp_path)
    office, outpost = OfficeSide(tmp_path, desk), OutpostSide(tmp_path)
    there(tmp_path, office, outpost)
    held = [Held(task.request, task.fence) for task in outpost.desk.claim(10, 0).tasks]
    assert len(held) == 4 and outpost.desk.beat(held) == []
    with ledger.lock:
        ledger.fences[2] += 1  # somebody else has it now
    office.office._beaten = float("-inf")
    there(tmp_path, office, outpost)
    assert outpost.desk.beat(held) == [Held(2, 1)]
    office.office._tick = lambda: 1e12  # patience has ended
    there(tmp_path, office, outpost)
    assert outpost.desk.beat(held) == held
    assert outpost.work() == []


def test_tasks_given_before_a_restart_are_offered_again_and_results_are_kept(tmp_path: Path) -> None:
    ledger = Ledgerlet(6)
    office, outpost = OfficeSide(tmp_path, MemoryDesk(ledger, tmp_path)), OutpostSide(tmp_path)
    there(tmp_path, office, outpost)
    assert len(outpost.work(most=2)) == 2
    first = outpost.desk.claim(3, 0).tasks
    outpost.desk.release([Held(first[0].request, first[0].fence)])
    assert {task.request for task in outpost.desk.claim(10, 0).tasks} == {3, 6}
    again = OutpostSide(tmp_path)
    assert [task.request for task in again.desk.claim(10, 0).tasks] == [3, 4, 5, 6]
    assert again.outpost.results.counts() == {"records": 2}
    two = again.desk.claim(10, 0)
    assert two.tasks == ()


def test_results_wait_at_the_agent_while_too_many_wait_at_the_gate(tmp_path: Path) -> None:
    ledger = Ledgerlet(3)
    bounds = GateSettings(most_results=1 << 20)
    office = OfficeSide(tmp_path, MemoryDesk(ledger, tmp_path))
    outpost = OutpostSide(tmp_path, settings=bounds)
    there(tmp_path, office, outpost)
    with pytest.raises(Busy, match="gate"):
        outpost.work(size=lambda request: 700_000)
    assert outpost.outpost.results.counts() == {"records": 1}


def test_a_server_that_is_away_gets_the_results_when_it_is_back(tmp_path: Path) -> None:
    ledger = Ledgerlet(20)
    desk = MemoryDesk(ledger, tmp_path)
    office, outpost = OfficeSide(tmp_path, desk), OutpostSide(tmp_path)
    there_and_back(tmp_path, office, outpost)

    def away(what: str, number: int) -> None:
        raise Busy("away")

    desk.fault = away
    office.round()
    assert ledger.ended == 0
    desk.fault = lambda what, number: None
    again = OfficeSide(tmp_path, desk)  # restarted meanwhile
    again.round()
    assert ledger.ended == 20 and proven(ledger)


def test_what_the_server_never_takes_becomes_a_failure_and_keeps_nothing_waiting(tmp_path: Path) -> None:
    ledger = Ledgerlet(20)
    desk = MemoryDesk(ledger, tmp_path)
    office, outpost = OfficeSide(tmp_path, desk), OutpostSide(tmp_path)
    there_and_back(tmp_path, office, outpost)
    whole = desk.deliver

    def deliver(callback: str, parcels: Sequence[Parcel]) -> list[Verdict]:
        for parcel in parcels:
            if parcel.task.request == 2 or (parcel.task.request == 3 and isinstance(parcel.outcome, Got)):
                raise Unacceptable("413", too_large=True)
        return whole(callback, parcels)

    desk.deliver = deliver  # type: ignore[method-assign]
    office.round()
    assert ledger.failed[3].kind == "too-large" and 2 not in ledger.filed.keys() | ledger.failed.keys()
    assert len(ledger.filed) == 16
    assert office.store.rows("SELECT count(*) AS n FROM gate_got WHERE state = 0")[0]["n"] == 0


def test_an_office_that_has_no_room_still_learns_where_results_go(tmp_path: Path) -> None:
    ledger = Ledgerlet(6)
    desk = MemoryDesk(ledger, tmp_path)
    office, outpost = OfficeSide(tmp_path, desk, settings=GateSettings(most_open=4)), OutpostSide(tmp_path)
    there_and_back(tmp_path, office, outpost)
    whole, desk.callback = desk.deliver, "https://elsewhere/"

    def deliver(callback: str, parcels: Sequence[Parcel]) -> list[Verdict]:
        if callback != desk.callback:
            raise Refused("404")
        return whole(callback, parcels)

    desk.deliver = deliver  # type: ignore[method-assign]
    office.round()
    assert ledger.ended == 0 and desk.claims == [4, 1]
    office.round()
    assert ledger.ended == 4


def test_bundles_are_cut_by_size(tmp_path: Path) -> None:
    ledger = Ledgerlet(50)
    office, outpost = OfficeSide(tmp_path, MemoryDesk(ledger, tmp_path)), OutpostSide(tmp_path)
    there(tmp_path, office, outpost)
    outpost.work(size=lambda request: 20_000)
    outpost.round()
    sizes = [file.stat().st_size for file in (tmp_path / "got-in").iterdir()]
    assert len(sizes) > 10 and max(sizes) < SENDS.cut_bytes + 10_000


def test_a_full_disk_at_the_outpost_keeps_the_results_with_the_agent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = Ledgerlet(3)
    office, outpost = OfficeSide(tmp_path, MemoryDesk(ledger, tmp_path)), OutpostSide(tmp_path)
    there(tmp_path, office, outpost)
    tasks = outpost.desk.claim(2, 0).tasks
    disk = Disk(monkeypatch)
    disk.left = 0
    with pytest.raises(Busy, match="No space"):
        outpost.desk.deliver("gate:", [made(tasks[0], 2000)])
    with pytest.raises(Busy, match="No space"):
        outpost.desk.claim(1, 0)
    disk.left = None
    assert outpost.desk.deliver("gate:", [made(task, 2000) for task in tasks]) == ["noted"] * 2
