from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from gate_bench import LIMITS, SENDER, Bench, receiving, sending
from isthmus.core.errors import InputError
from isthmus.transfer.inbound import Inbound
from isthmus.transfer.signing import SigningKey
from transfer_doubles import ListSource


@pytest.fixture(autouse=True)
def _no_power_cuts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sync nothing: here no power fails."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)


@pytest.mark.parametrize("form", ["tar", "plain"])
def test_changes_cross_and_both_sides_stand_at_the_same_position(tmp_path: Path, form: str) -> None:
    bench = Bench(tmp_path, sending(format=form))
    bench.send(("a", "1"), ("b", "2"))
    bench.send(("a", None), ("c", "3"))
    bench.carry()
    events = bench.receive()
    assert bench.level()
    assert [event.kind for event in events].count("applied") == 2
    assert bench.receiver.status().lag == 0
    bench.receive()
    assert bench.outside.files == {}, "what was dealt with is removed from the gate"
    assert bench.alarms() == []


@pytest.mark.parametrize("form", ["tar", "plain"])
def test_files_out_of_order_are_staged_and_applied_in_order(tmp_path: Path, form: str) -> None:
    bench = Bench(tmp_path, sending(format=form))
    sent = [bench.send((f"k{n}", str(n))) for n in range(4)]
    for names in reversed(sent[1:]):
        bench.carry(*names)
        bench.receive()
    status = bench.receiver.status()
    assert bench.target.standing is None
    assert len(status.staged) == 3
    assert [(gap.since, gap.until) for gap in status.missing] == [(0, 1)]
    bench.carry(*sent[0])
    bench.receive()
    assert bench.level()
    assert bench.receiver.status().staged == ()


def test_the_two_files_of_the_plain_format_may_come_in_any_order(tmp_path: Path) -> None:
    for turn in (1, -1):
        bench = Bench(tmp_path / str(turn), sending(format="plain"))
        first, second = bench.send(("a", "1"))[::turn]
        bench.carry(first)
        assert bench.receive() == []
        bench.carry(second)
        bench.receive()
        assert bench.level()
        bench.receive()
        assert bench.outside.files == {}


def test_a_repeated_file_is_dropped_and_counted(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    names = bench.send(("a", "1"))
    for _ in range(3):
        bench.carry(*names)
        bench.receive()
    assert bench.level()
    assert bench.receiver.status().counts["duplicates"] == 2
    assert bench.receiver.status().counts["applied"] == 1
    assert bench.alarms() == []


def test_where_the_gate_is_only_read_no_file_is_read_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(tmp_path, receives=receiving(consume=False))
    bench.send(("a", "1"))
    bench.carry()
    bench.receive()
    monkeypatch.setattr(bench.outside, "take", None)
    assert bench.receive() == []
    assert len(bench.outside.files) == 1
    assert bench.level()


def test_a_growing_file_waits_and_is_taken_when_it_is_whole(tmp_path: Path) -> None:
    bench = Bench(tmp_path, receives=receiving(settle_s=30.0))
    (name,) = bench.send(("a", "1"))
    content = bench.inside.files[name]
    for size in range(0, len(content), 700):
        bench.outside.hold(name, content[:size])
        bench.clock.forward(20)
        bench.receive()
        assert bench.target.standing is None
        assert bench.receiver.status().growing == (name,)
    bench.outside.hold(name, content)
    bench.receive()
    bench.receive()
    assert bench.level()
    assert bench.alarms() == []


def test_a_truncated_file_waits_then_goes_to_quarantine_and_a_whole_copy_is_still_taken(tmp_path: Path) -> None:
    bench = Bench(tmp_path, receives=receiving(settle_s=30.0))
    (name,) = bench.send(("a", "1"))
    bench.outside.hold(name, bench.inside.files[name][:1000])
    for _ in range(3):
        bench.receive()
        assert bench.alarms() == []
        bench.clock.forward(10)
    bench.receive()
    assert bench.alarms() == ["TRUNCATED"]
    (aside,) = bench.receiver.status().quarantined
    folder = tmp_path / "staging" / "faces" / "quarantine" / aside.folder
    assert sorted(file.name for file in folder.iterdir()) == ["reason.json", "tar"]
    assert "TRUNCATED" in (folder / "reason.json").read_text()
    bench.carry(name)
    bench.receive()
    assert bench.level()
    assert bench.alarms() == []
    assert bench.receiver.status().quarantined[0].healed


@pytest.mark.parametrize("form", ["tar", "plain"])
def test_a_reason_names_the_bundle_and_no_place_where_it_lies_no_more(tmp_path: Path, form: str) -> None:
    bench = Bench(tmp_path, sending(format=form), receives=receiving(settle_s=0))
    for name in bench.send(("a", "1")):
        content = bytearray(bench.inside.files[name])
        content[content.rfind(b"a") if form == "tar" else 8] ^= "manifest" not in name
        bench.outside.hold(name, bytes(content))
    events = bench.receive()
    (alarm,), (aside,) = bench.receiver.status().alarms, bench.receiver.status().quarantined
    assert alarm.what == f"{aside.unit}: {aside.why}"
    assert aside.why.startswith("bson: ") if form == "plain" else ":" not in aside.why
    assert not any(str(tmp_path) in text for text in (alarm.what, aside.why, *map(str, events)))


def test_a_clock_that_jumps_does_not_condemn_a_file(tmp_path: Path) -> None:
    bench = Bench(tmp_path, receives=receiving(settle_s=30.0))
    (name,) = bench.send(("a", "1"))
    bench.outside.hold(name, bench.inside.files[name][:1000])
    for jump in (0, 86_400, -86_400, 86_400, -7200):
        bench.clock.forward(jump)
        bench.receive()
    assert bench.alarms() == []
    for _ in range(3):
        bench.clock.forward(10)
        bench.receive()
    assert bench.alarms() == ["TRUNCATED"]


def test_what_an_unknown_key_signed_is_set_aside_unparsed(tmp_path: Path) -> None:
    bench = Bench(tmp_path, key=SigningKey.create())
    bench.send(("a", "1"))
    bench.carry()
    bench.receive()
    assert bench.target.standing is None
    assert bench.alarms() == ["UNKNOWN_KEY"]
    assert bench.receiver.status().counts["quarantined"] == 1


def test_another_history_under_the_same_name_is_a_fork(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    names = bench.send(("a", "1"))
    bench.carry()
    bench.receive()
    other = Bench(tmp_path / "other")
    assert other.send(("a", "2")) == names
    bench.outside.hold(names[0], other.inside.files[names[0]])
    bench.receive()
    assert bench.alarms() == ["FORK"]
    assert bench.level()
    bench.receive()
    assert bench.outside.files == {}
    assert bench.receiver.dismiss(names[0]) == 1
    assert bench.alarms() == []
    assert bench.receiver.status().quarantined == ()


@pytest.mark.parametrize("alarmed", [True, False])
def test_files_of_an_ended_epoch_are_never_applied_and_alarmed_of_where_that_is_wished(
    tmp_path: Path, alarmed: bool
) -> None:
    bench = Bench(tmp_path, receives=receiving(stale_alarm=alarmed))
    old = bench.send(("a", "1"))
    bench.carry()
    late = bench.send(("b", "1"))
    bench.receive()
    kept = dict(bench.inside.files)
    bench.source.begin_epoch()
    new = bench.send(("c", "1"))
    bench.carry(*new)
    bench.receive()
    assert bench.level()
    assert bench.target.standing is not None
    assert bench.target.standing.epoch == 2
    for name in (*old, *late):
        bench.outside.hold(name, kept[name])
    bench.receive()
    assert bench.level()
    assert bench.alarms() == ["STALE", "STALE"][: 2 * alarmed]


def test_a_gap_is_an_alarm_after_a_while_and_its_request_line_heals_it(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    sent = [bench.send((f"k{n}", str(n))) for n in range(6)]
    bench.carry(*sent[0], *sent[3], *sent[5])
    bench.receive()
    assert bench.alarms() == []
    for _ in range(4):
        bench.clock.forward(20)
        bench.receive()
    assert bench.alarms() == ["GAP"]
    line = bench.receiver.request()
    assert line.startswith("faces 1 1-3,4-5 ")
    assert line in bench.receiver.status().alarms[0].what
    bench.inside.files.clear()
    bench.sender.resend(line.upper())
    assert bench.inside.names() == sorted([*sent[1], *sent[2], *sent[4]])
    bench.carry()
    bench.receive()
    assert bench.level()
    assert bench.alarms() == []
    assert bench.receiver.request() == ""


def test_a_heartbeat_tells_of_files_that_were_lost_at_the_end(tmp_path: Path) -> None:
    bench = Bench(tmp_path, sending(heartbeat_s=10.0))
    bench.send(("a", "1"))
    bench.clock.forward(10)
    bench.send(("b", "2"))
    beats = [name for name in bench.inside.names() if "heartbeat" in name]
    bench.carry(beats[-1])
    bench.receive()
    status = bench.receiver.status()
    assert status.lag == 2
    assert [(gap.since, gap.until) for gap in status.missing] == [(0, 2)]
    assert status.counts["heartbeats"] == 1


def test_silence_is_an_alarm_and_a_repeated_heartbeat_does_not_end_it(tmp_path: Path) -> None:
    bench = Bench(tmp_path, sending(heartbeat_s=10.0), receiving(silent_s=60.0))
    beats = bench.send(("a", "1"))
    bench.carry()
    bench.receive()
    for _ in range(4):
        bench.clock.forward(20)
        bench.carry(*beats)
        bench.receive()
    assert bench.alarms() == ["SILENT"]
    bench.sender.step()
    bench.carry()
    bench.receive()
    assert bench.alarms() == []


def test_a_target_that_diverged_asks_for_a_snapshot_and_the_snapshot_heals_it(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.send(("a", "1"))
    bench.carry()
    bench.receive()
    bench.target.records["x"] = "not the sender's"
    names = bench.send(("x", "2"))
    bench.target.standing = bench.source.positions[1]
    for _ in range(2):  # the carousel brings it again: it is not tried again
        bench.carry(*names)
        bench.receive()
    assert bench.alarms() == ["DIVERGED"]
    assert bench.target.standing == bench.source.positions[1], "nothing was committed"
    line = bench.receiver.request()
    assert line.startswith("faces 1 snapshot ")
    bench.sender.resend(line)
    bench.carry()
    bench.receive()
    assert bench.level()
    assert bench.alarms() == []


def test_a_bundle_whose_content_cannot_be_read_is_set_aside_and_never_blocks_a_snapshot(tmp_path: Path) -> None:
    class Mumbling(ListSource):
        def after(self, position, most_bytes):  # type: ignore[no-untyped-def]
            cut = super().after(position, most_bytes)
            return cut and replace(cut, members={"entries.bson": lambda: iter([b"no changes"])})

    bench = Bench(tmp_path, source=Mumbling())
    bench.send(("a", "1"))
    bench.carry()
    bench.receive()
    assert bench.alarms() == ["REFUSED"]
    bench.sender.resend(bench.receiver.request())
    bench.carry()
    bench.receive()
    assert bench.level()
    assert bench.alarms() == []


def test_a_renamed_bundle_is_refused(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    (first,) = bench.send(("a", "1"))
    (second,) = bench.send(("b", "2"))
    bench.outside.hold(second, bench.inside.files[first])
    bench.receive()
    assert bench.target.standing is None
    assert bench.alarms() == ["TAMPERED"]


def test_a_file_beyond_the_limits_is_not_even_copied(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    (name,) = bench.send(("a", "1"))
    bench.outside.hold(name, bytes(LIMITS.most_file_bytes + 1))
    bench.receive()
    assert bench.alarms() == ["REFUSED"]
    assert name in bench.outside.files, "it may be wanted once the limits are raised"
    assert bench.receiver.status().quarantined[0].size == 0


def test_staging_is_bounded_and_what_has_no_room_is_taken_later(tmp_path: Path) -> None:
    bench = Bench(tmp_path, receives=receiving(most_staged=3))
    sent = [bench.send((f"k{n}", str(n)))[0] for n in range(10)]
    for name in [sent[9], sent[5], sent[8], sent[7], sent[2], sent[4], sent[3], sent[6], sent[1]]:
        bench.carry(name)
        bench.receive()
        assert len(bench.receiver.status().staged) <= 3
    assert [one.until.seq for one in bench.receiver.status().staged] == [2, 3, 4]
    bench.carry(sent[0])
    bench.receive()
    bench.receive()
    assert bench.level()


def test_names_that_no_bundle_has_and_other_streams_are_left_alone(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    strange = {
        "readme.txt": b"x",
        "things-000001-000000000001.tar": b"y",
        "faces-000001-000000000001.tar.tmp": b"z",
    }
    for name, content in strange.items():
        bench.outside.hold(name, content)
    assert bench.receive() == []
    assert bench.outside.files == strange


def test_the_status_is_plain_data(tmp_path: Path) -> None:
    import json

    bench = Bench(tmp_path, sending(heartbeat_s=10.0))
    bench.send(("a", "1"))
    second = bench.send(("b", "2"))
    bench.carry(*second)
    bench.outside.hold("faces-000001-000000000007.tar", b"nonsense")
    bench.receive()
    told = json.loads(json.dumps(bench.receiver.status().to_json()))
    assert told["lag"] == 2
    assert told["missing"] == [{"epoch": 1, "since": 0, "until": 1}]
    assert told["quarantined"][0]["kind"] == "TRUNCATED" or told["quarantined"][0]["kind"] == "TAMPERED"
    assert all(alarm["hint"] for alarm in told["alarms"])
    assert json.loads(json.dumps(bench.sender.status().to_json()))["head"]["seq"] == 2


def test_which_stream_is_received_has_to_be_clear(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    both = {"faces": frozenset((SENDER.public,)), "things": frozenset((SENDER.public,))}
    arguments = (bench.stores[1], tmp_path, bench.target, bench.outside, both, LIMITS, bench.clock, bench.receives)
    with pytest.raises(InputError, match="2 streams"):
        Inbound(*arguments)
    assert Inbound(*arguments, stream="things").status().stream == "things"


def test_a_crash_while_the_reason_is_written_loses_nothing_of_the_quarantine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def kill(handle: int) -> None:
        raise Killed

    bench = Bench(tmp_path)
    name = "faces-000001-000000000007.tar"
    bench.outside.hold(name, b"\1" * 3000)
    unlink = Path.unlink
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", kill)
        patch.setattr(Path, "unlink", lambda file, **how: None if file.suffix == ".part" else unlink(file, **how))
        with pytest.raises(Killed):
            bench.receive()
    copies = tmp_path / "staging" / "faces" / "copies" / name
    assert [file.name for file in copies.iterdir() if file.name.startswith(".")] != [], "the reason was cut short"
    bench.receiver = bench.new_receiver()
    bench.receive()
    (aside,) = bench.receiver.status().quarantined
    folder = tmp_path / "staging" / "faces" / "quarantine" / aside.folder
    assert (folder / "tar").read_bytes() == b"\1" * 3000
    assert (folder / "reason.json").exists()
