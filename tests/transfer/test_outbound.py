from __future__ import annotations

from pathlib import Path

import pytest

from gate_bench import SENDER, Bench, sending
from isthmus.core.errors import Busy, InputError
from isthmus.core.header import BundleName
from isthmus.core.ports import Cut
from isthmus.state.lock import held
from isthmus.transfer.formats import open_files
from isthmus.transfer.outbound import OutboundSettings
from isthmus.transfer.resend import Request
from isthmus.transfer.signing import SigningKey
from transfer_doubles import MEMBER


def kinds(names: list[str]) -> list[str]:
    """The endings of files, in the order of their names."""
    return [found.ending for name in names if (found := BundleName.of(name)) is not None]


def test_changes_are_cut_when_they_have_waited_long_enough(tmp_path: Path) -> None:
    bench = Bench(tmp_path, sending(cut_s=60.0))
    assert bench.send(("a", "1")) == []
    bench.clock.forward(59)
    assert bench.send(("b", "2")) == []
    assert bench.sender.status().waiting == 2
    bench.clock.forward(1)
    assert bench.send() == ["faces-000001-000000000002.tar"]
    assert bench.sender.status().waiting == 0


def test_changes_are_cut_when_they_fill_a_file(tmp_path: Path) -> None:
    bench = Bench(tmp_path, sending(cut_s=60.0, cut_bytes=100))
    sent = bench.send(*((f"k{n}", "x" * 20) for n in range(10)))
    assert len(sent) == 3, "the last changes wait for their time"
    assert bench.sender.status().waiting > 0
    bench.clock.forward(60)
    bench.send()
    assert bench.sender.status().waiting == 0


def test_a_clock_that_is_set_back_does_not_stop_the_sending(tmp_path: Path) -> None:
    bench = Bench(tmp_path, sending(cut_s=60.0, heartbeat_s=60.0))
    bench.send(("a", "1"))
    bench.clock.forward(-86_400)
    assert len(bench.send()) == 2


def test_the_carousel_sends_the_last_files_again(tmp_path: Path) -> None:
    bench = Bench(tmp_path, sending(carousel_files=2, carousel_s=100.0))
    sent = [bench.send((f"k{n}", "1"))[0] for n in range(4)]
    before = dict(bench.inside.files)
    bench.inside.files.clear()
    bench.clock.forward(99)
    assert bench.send() == []
    bench.clock.forward(1)
    assert bench.send() == sent[2:]
    assert all(bench.inside.files[name] == before[name] for name in sent[2:])
    assert bench.send() == []


def test_heartbeats_are_numbered_and_tell_the_last_position_that_was_sent(tmp_path: Path) -> None:
    bench = Bench(tmp_path, sending(heartbeat_s=10.0))
    allowed = {"faces": frozenset((SENDER.public,))}
    names: list[str] = []
    for _ in range(4):
        names += [name for name in bench.send(("a", str(len(names)))) if "heartbeat" in name]
        bench.clock.forward(10)
    assert [name.split(".")[1] for name in names] == ["1", "2", "3", "4"]
    kept = [name for name in bench.inside.names() if "heartbeat" in name]
    assert kept == names[-2:], "older ones are of no use any more"
    name = BundleName.of(names[-1])
    assert name is not None
    opened = open_files(name, {name.ending: bench.outbox / names[-1]}, allowed)
    assert opened.header.until == bench.source.position()


def test_a_snapshot_is_sent_by_schedule_and_on_demand(tmp_path: Path) -> None:
    bench = Bench(tmp_path, sending(snapshot_s=3600.0))
    assert kinds(bench.send(("a", "1"))) == ["snapshot.tar", "tar"], "the first is due at once"
    assert kinds(bench.send(("a", "2"))) == ["tar"]
    bench.clock.forward(3600)
    assert kinds(bench.send()) == ["snapshot.tar"]
    bench.source.change("b", "1")
    before = set(bench.inside.files)
    bench.sender.snapshot()
    assert kinds(sorted(set(bench.inside.files) - before)) == ["snapshot.tar", "tar"]


def test_a_snapshot_of_the_same_position_is_the_same_file(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.send(("a", "1"))
    bench.sender.snapshot()
    before = dict(bench.inside.files)
    bench.clock.forward(500)
    bench.sender.snapshot()
    assert bench.inside.files == before


def test_a_source_that_changes_while_the_snapshot_is_taken_leaves_no_straddling_file(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.send(("a", "1"))
    take, busy = bench.source.snapshot, [3]

    def hurried() -> Cut:
        if busy[0]:
            busy[0] -= 1
            bench.source.change("b", str(busy[0]))
        return take()

    bench.source.snapshot = hurried  # type: ignore[method-assign]
    bench.sender.snapshot()
    busy[0] = 100  # it never rests: the snapshot alone leads on then
    bench.sender.snapshot()
    busy[0] = 0
    bench.send(("c", "1"))
    bench.carry()
    bench.receive()
    assert bench.level()
    assert bench.alarms() == []


def test_the_outbox_and_the_gate_keep_so_many_files_and_no_more(tmp_path: Path) -> None:
    bench = Bench(tmp_path, sending(keep_files=3, carousel_files=1, heartbeat_s=1.0))
    for n in range(8):
        bench.send((f"k{n}", "1"))
        bench.clock.forward(1)
    files = sorted(file.name for file in bench.outbox.iterdir() if not file.name.startswith("."))
    assert files == bench.inside.names()
    assert kinds(files).count("tar") == 3
    assert kinds(files).count("heartbeat.tar") == 2


def test_a_file_that_is_not_kept_any_more_is_made_again_to_the_same_bytes(tmp_path: Path) -> None:
    for form in ("tar", "plain"):
        bench = Bench(tmp_path / form, sending(keep_files=2, carousel_files=0, format=form))
        first = bench.send(("a", "1"))
        before = {name: bench.inside.files[name] for name in first}
        for n in range(4):
            bench.clock.forward(7)
            bench.send((f"k{n}", "1"))
        assert not set(first) & set(bench.inside.files)
        bench.sender.resend(str(Request("faces", 1, ((0, 1),))))
        assert {name: bench.inside.files[name] for name in first} == before
        bench.send()
        assert set(first) <= set(bench.inside.files), "it stays for the gatekeeper to carry"


@pytest.mark.parametrize(
    "why", ["changes are gone", "another key", "more than is kept", "never cut", "older epoch"]
)
def test_what_cannot_be_had_again_is_answered_with_a_snapshot(tmp_path: Path, why: str) -> None:
    bench = Bench(tmp_path, sending(keep_files=2, carousel_files=0))
    for n in range(5):
        bench.send((f"k{n}", "1"))
    request = Request("faces", 1, ((0, 1),))
    if why == "changes are gone":
        bench.source.kept_from = 3
    elif why == "another key":
        bench.sender = bench.new_sender(SigningKey.create())
    elif why == "more than is kept":
        request = Request("faces", 1, ((0, 5),))
    elif why == "older epoch":
        bench.source.begin_epoch()
        bench.send(("z", "1"))
    elif why == "never cut":
        bench.stores[0].rows("DELETE FROM outgoing WHERE until_seq = 1")
    events = bench.sender.resend(str(request))
    assert any("snapshot" in event for event in events)
    if why == "another key":
        return
    bench.carry(*(name for name in bench.inside.names() if "snapshot" in name))
    bench.receive()
    assert bench.level()


def test_requests_that_cannot_be_meant_are_refused(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    with pytest.raises(InputError, match="nothing"):
        bench.sender.resend(str(Request("faces", 1)))
    bench.send(("a", "1"))
    for request in (Request("faces", 1, ((0, 2),)), Request("faces", 2), Request("things", 1)):
        with pytest.raises(InputError):
            bench.sender.resend(str(request))


def test_a_source_set_back_to_an_old_state_sends_nothing_until_it_has_a_new_epoch(tmp_path: Path) -> None:
    bench = Bench(tmp_path, sending(heartbeat_s=1.0))
    bench.send(("a", "1"), ("b", "1"))
    old = Bench(tmp_path / "old").source
    old.change("a", "1")
    bench.source.__dict__.update(old.__dict__)
    bench.clock.forward(1)
    assert bench.send() == []
    assert [alarm.kind.name for alarm in bench.sender.status().alarms] == ["FORK"]
    bench.source.begin_epoch()
    assert sorted(kinds(bench.send(("c", "1")))) == ["heartbeat.tar", "snapshot.tar"]
    assert bench.sender.status().alarms == ()


def test_a_stream_whose_first_changes_are_gone_begins_with_a_snapshot(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    for n in range(5):
        bench.source.change(f"k{n}", "1")
    bench.source.kept_from = 3
    assert kinds(bench.send()) == ["snapshot.tar"]
    assert kinds(bench.send(("z", "1"))) == ["tar"]
    bench.carry()
    bench.receive()
    assert bench.level()


def test_a_crash_before_the_file_is_made_gives_the_same_bounds_though_the_source_has_grown(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.source.change("a", "1")
    bench.source.change("b", "1")

    class Killed(BaseException):
        pass

    def kill(step: str) -> None:
        if step == "outbound recorded":
            raise Killed

    bench.sender._step = kill
    with pytest.raises(Killed):
        bench.sender.step()
    for n in range(20):
        bench.source.change(f"k{n}", "1")
    bench.clock.forward(100)
    bench.sender = bench.new_sender()
    bench.sender.step()
    names = bench.inside.names()
    assert names == ["faces-000001-000000000002.tar", "faces-000001-000000000022.tar"]
    again = Bench(tmp_path / "again")
    assert bench.inside.files[names[0]] == again.inside.files.get(names[0]) or again.send(("a", "1"), ("b", "1"))
    assert bench.inside.files[names[0]] == again.inside.files[names[0]]


def test_a_crash_while_a_file_is_made_again_leaves_nothing_behind(tmp_path: Path) -> None:
    bench = Bench(tmp_path, sending(keep_files=1, carousel_files=0))
    for n in range(3):
        bench.send((f"k{n}", "1"))

    class Killed(BaseException):
        pass

    def kill(step: str) -> None:
        raise Killed

    bench.sender._sealing._step = lambda step: kill(step) if step == "outbound kept" else None
    with pytest.raises(Killed):
        bench.sender.resend(str(Request("faces", 1, ((0, 1),))))
    assert len([file for file in bench.outbox.iterdir() if file.suffix == ".tar"]) == 2
    bench.sender = bench.new_sender()
    bench.sender.step()
    assert [file.name for file in bench.outbox.iterdir() if file.suffix == ".tar"] == bench.inside.names()


def test_only_one_process_works_on_an_outbox(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    with held(bench.outbox / ".lock", "other work"), pytest.raises(Busy):
        bench.sender.step()


def test_settings_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(ValueError, match="carousel_files"):
        OutboundSettings(carousel_files=10, keep_files=5)


def test_the_content_is_what_the_source_cut(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    (name,) = bench.send(("a", "1"), ("b", None))
    parsed = BundleName.of(name)
    assert parsed is not None
    opened = open_files(parsed, {"tar": bench.outbox / name}, {"faces": frozenset((SENDER.public,))})
    assert b"".join(opened.read(MEMBER)) == b'["a", "1"]\n["b", null]\n'
    assert opened.header.counts == {"changes": 2}
    assert opened.header.site == "inner"


def test_files_of_long_ago_are_removed_because_they_hold_what_was_removed_since(tmp_path: Path) -> None:
    bench = Bench(tmp_path, sending(keep_s=3600.0))
    (old,) = bench.send(("a", "1"))
    bench.clock.forward(3601)
    (new,) = bench.send(("a", None))
    kept = {path.name for path in bench.outbox.iterdir()}
    assert old not in kept | bench.inside.files.keys()
    assert new in kept & bench.inside.files.keys()
