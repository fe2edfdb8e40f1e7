"""The real set 1 and set 2 on both sides of a gate that loses a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from gallery_making import STREAM, SteppingClock, content, jpeg, sqlite_set
from gate_bench import SENDER, receiving, sending
from isthmus.gallery.inner import InnerSite
from isthmus.gallery.oplog.entry import key_bytes
from isthmus.gallery.source import OplogSource
from isthmus.gallery.store.sqlite import SqliteSet
from isthmus.gallery.target import SetTarget
from isthmus.state.store import Store
from isthmus.transfer.gate import Gate
from isthmus.transfer.inbound import Inbound
from isthmus.transfer.limits import STANDARD
from isthmus.transfer.outbound import Outbound
from transfer_doubles import HandClock, copy_files

G = "faces.staff"


@pytest.mark.parametrize("form", ["tar", "plain"])
@pytest.mark.parametrize("kept", [True, False], ids=["sent again", "healed by a snapshot"])
def test_a_gallery_crosses_a_gate_that_loses_a_file(tmp_path: Path, form: str, kept: bool) -> None:
    one, two = sqlite_set(tmp_path / "inner"), sqlite_set(tmp_path / "outer")
    site, clock = InnerSite(one, SteppingClock(), "anna"), HandClock()
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    inside.mkdir()
    outside.mkdir()
    sender = Outbound(
        Store(tmp_path / "sender.db"), tmp_path / "outbox", OplogSource(one), Gate(inside), SENDER, "inner", clock,
        sending(format=form, keep_files=10 if kept else 1, carousel_files=0, cut_bytes=1 << 20),
    )  # fmt: skip
    receiver = Inbound(
        Store(tmp_path / "receiver.db"), tmp_path / "staging", SetTarget(two), Gate(outside),
        {STREAM: frozenset((SENDER.public,))}, STANDARD, clock, receiving(gap_alarm_s=0.0),
    )  # fmt: skip
    for number in range(4):
        site.add(G, f"p{number}", jpeg(number))
        if number == 2:
            site.remove(G, "p0")
        sender.step()
        if number != 1:
            copy_files(inside, outside)
        for file in inside.iterdir():
            if kept or number == 1:
                file.unlink()
        receiver.step()
    assert receiver.status().alarms[0].kind.name == "GAP"
    assert two.position() != one.position()
    events = sender.resend(receiver.request() if kept else receiver.request(snapshot=True))
    assert any("snapshot" in event for event in events) != kept
    copy_files(inside, outside)
    receiver.step()
    assert two.position() == one.position()
    assert content(two) == content(one)
    assert receiver.status().alarms == ()


def test_a_heartbeat_tells_how_many_galleries_and_records_set_1_holds(tmp_path: Path) -> None:
    one = sqlite_set(tmp_path / "inner")
    site, source = InnerSite(one, SteppingClock(), "anna"), OplogSource(one)
    assert source.counts() == {"galleries": 0, "records": 0}
    for number in range(3):
        site.add(G, f"p{number}", jpeg(number))
        site.add("things.tools", f"t{number}", jpeg(number))
    site.remove(G, "p0")
    assert source.counts() == {"galleries": 2, "records": 5}
    assert source.counts() == source.snapshot().counts


def test_changes_of_several_rounds_are_cut_together_when_their_time_has_come(tmp_path: Path) -> None:
    one = sqlite_set(tmp_path / "inner")
    site, clock = InnerSite(one, SteppingClock(), "anna"), HandClock()
    (tmp_path / "inside").mkdir()
    sender = Outbound(
        Store(tmp_path / "sender.db"), tmp_path / "outbox", OplogSource(one), Gate(tmp_path / "inside"), SENDER,
        "inner", clock, sending(cut_s=60.0),
    )  # fmt: skip
    for number in range(5):
        site.add(G, f"p{number}", jpeg(number))
        assert sender.step() == [], "looking must not fix where it is cut"
        clock.forward(12)
    assert len(sender.step()) == 1
    assert sender.status().head == one.position()


def test_a_restored_set_1_goes_on_in_another_epoch_and_the_earlier_one_is_refused(tmp_path: Path) -> None:
    one, two = sqlite_set(tmp_path / "inner"), sqlite_set(tmp_path / "outer")
    site, clock = InnerSite(one, SteppingClock(), "anna"), HandClock()
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    inside.mkdir()
    outside.mkdir()
    sender = Outbound(
        Store(tmp_path / "sender.db"), tmp_path / "outbox", OplogSource(one), Gate(inside), SENDER, "inner", clock,
        sending(carousel_s=1.0),
    )  # fmt: skip
    receiver = Inbound(
        Store(tmp_path / "receiver.db"), tmp_path / "staging", SetTarget(two), Gate(outside),
        {STREAM: frozenset((SENDER.public,))}, STANDARD, clock, receiving(),
    )  # fmt: skip
    site.add(G, "p0", jpeg(0))
    site.add(G, "p1", jpeg(1))
    sender.step()
    old = {file.name: file.read_bytes() for file in inside.iterdir()}
    copy_files(inside, outside)
    receiver.step()

    site.remove(G, "p0")  # as if it had never been sent: what the receiver knows of 1/3 will be another history
    begun = site.begin_epoch(above=4)
    assert (begun.epoch, begun.seq, begun) == (5, 0, one.position())
    assert one.image(two_digest(two, "p0")) is None, "entries of the earlier epoch hold no image any more"
    sender.snapshot()
    site.add(G, "p2", jpeg(2))
    sender.step()
    copy_files(inside, outside)
    receiver.step()
    assert two.position() == one.position()
    assert two.position() is not None and two.position().order == (5, 1)  # type: ignore[union-attr]
    assert content(two) == content(one)
    clock.forward(60)
    sender.step()
    copy_files(inside, outside)
    receiver.step()
    assert not list(inside.glob(f"{STREAM}-000001-*")), "what receivers would refuse is not repeated"
    assert receiver.status().alarms == ()
    for name, file in old.items():
        (outside / name).write_bytes(file)
    receiver.step()
    assert two.position() == one.position()
    assert {alarm.kind.name for alarm in receiver.status().alarms} == {"STALE"}


def two_digest(held: SqliteSet, id: str) -> bytes:
    document = held.document(G, key_bytes(id))
    assert document is not None
    found: bytes = document["url"].digest
    return found
