from __future__ import annotations

import errno
import threading
from pathlib import Path

import pytest

from gate_bench import SENDER, Bench, sending
from isthmus.transfer.memory import MemoryCarrier
from isthmus.transfer.sending import OutboundSettings
from isthmus.transfer.signing import SigningKey
from transfer_doubles import ListSource

CHANGES = 12


def changed(source: ListSource, count: int = CHANGES) -> None:
    for number in range(count):
        source.change(f"k{number}", str(number) * 50)


def bench(folder: Path, parallel: int, form: str = "tar", key: SigningKey = SENDER) -> Bench:
    made = Bench(folder, sending(cut_bytes=60, parallel=parallel, format=form, heartbeat_s=60.0), key=key)
    changed(made.source)
    return made


@pytest.mark.parametrize("form", ["tar", "plain"])
def test_several_lanes_make_the_same_bytes_as_one(tmp_path: Path, form: str) -> None:
    one = bench(tmp_path / "1", 1, form)
    one.sender.step()
    assert len(one.inside.files) > CHANGES
    for parallel in (2, 3, 8):
        many = bench(tmp_path / str(parallel), parallel, form)
        events = many.sender.step()
        assert many.inside.files == one.inside.files
        assert len(events) == CHANGES + 1
        assert [row.until.seq for row in many.sender._ledger.in_state("sent")] == [*range(1, CHANGES + 1), CHANGES]
        assert not [file for file in many.outbox.iterdir() if file.name.startswith(".making")]
        many.carry()
        many.receive()
        assert many.level()


class Meeting(MemoryCarrier):
    """Lets go of a put only once three are under way."""

    def __init__(self) -> None:
        super().__init__()
        self._barrier = threading.Barrier(3)

    def put(self, name: str, file: Path) -> None:
        if "heartbeat" not in name:
            self._barrier.wait(20)
        super().put(name, file)


def test_as_many_bundles_as_there_are_lanes_are_put_at_a_time(tmp_path: Path) -> None:
    made = bench(tmp_path, 3)
    made.inside = Meeting()
    made.sender = made.new_sender()
    made.sender.step()
    assert len(made.inside.files) == CHANGES + 1


class Failing(MemoryCarrier):
    """Refuses some names while it is told to."""

    def __init__(self, *refused: int) -> None:
        super().__init__()
        self.refused = refused
        self.well = False

    def put(self, name: str, file: Path) -> None:
        if not self.well and int(name.split("-")[2][:12]) in self.refused:
            raise OSError(errno.ENOSPC, "no space")
        super().put(name, file)


@pytest.mark.parametrize("refused", [(1,), (5,), (12,), (2, 3, 4), tuple(range(1, 13))], ids=str)
def test_a_road_that_refuses_one_bundle_is_an_alarm_and_the_rest_follows_later(
    tmp_path: Path, refused: tuple[int, ...]
) -> None:
    one = bench(tmp_path / "1", 1)
    one.sender.step()
    made = bench(tmp_path / "3", 3)
    made.inside = failing = Failing(*refused)
    made.sender = made.new_sender()
    for _ in range(2):
        made.sender.step()
        assert [alarm.kind.name for alarm in made.sender.status().alarms] == ["DISK"]
    failing.well = True
    made.sender = made.new_sender()
    made.sender.step()
    assert made.sender.status().alarms == ()
    assert made.inside.files == one.inside.files


def test_what_cannot_be_made_again_between_bundles_that_were_sent_is_healed_by_a_snapshot(tmp_path: Path) -> None:
    made = bench(tmp_path, 3)
    failed = threading.Event()

    class Stopped(BaseException):
        pass

    def seal(row: object, cut: object, seal=made.sender._sealing.seal) -> object:  # type: ignore[no-untyped-def]
        if row.until.seq in (2, 3):  # type: ignore[attr-defined]
            failed.wait(20)  # until a later one was sent
            raise Stopped
        return seal(row, cut)

    def step(name: str) -> None:
        if name == "outbound sent":
            sent.append(name)
            if len(sent) == 2:
                failed.set()

    sent: list[str] = []
    made.sender._sealing.seal = seal  # type: ignore[method-assign, assignment]
    made.sender._sending._step = step
    with pytest.raises(Stopped):
        made.sender.step()
    there = {int(name.split("-")[2][:12]) for name in made.inside.files}
    assert max(there) > 3
    assert not there & {2, 3}
    made.source.kept_from = max(there)
    made.sender = made.new_sender()
    events = made.sender.step()
    assert sum("gave up" in event for event in events) >= 2
    assert any("sent snapshot" in event for event in events)
    assert made.sender.status().unfinished == ()
    assert made.sender.step() == []
    made.carry()
    for _ in range(3):
        made.receive()
    assert made.level()
    assert made.alarms() == []


def test_no_lane_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match="parallel"):
        OutboundSettings(parallel=0)


def test_the_level_says_how_hard_bundles_are_packed_and_0_not_at_all(tmp_path: Path) -> None:
    sizes = {}
    for level in (0, 1, 3, 9):
        made = Bench(tmp_path / str(level), sending(level=level))
        for number in range(200):
            made.source.change(f"k{number}", f"{number * 7919} " * 20)
        (name,) = made.send()
        sizes[level] = len(made.inside.files[name])
        assert (b'"codec":"none"' in made.inside.files[name]) == (level == 0)
        made.carry()
        made.receive()
        assert made.level()
    assert sizes[0] > 3 * sizes[1]
    assert sizes[9] <= sizes[3]
    for wrong in (-1, 20):
        with pytest.raises(ValueError, match="level"):
            OutboundSettings(level=wrong)
