"""A heartbeat tells latest position, count of records and digest: of one moment, and the same after a crash."""

from __future__ import annotations

from pathlib import Path

import pytest

from gate_bench import SENDER, Bench, sending
from isthmus.core.header import BundleName, Header
from isthmus.state.store import Store
from isthmus.transfer.formats import open_files
from isthmus.transfer.journal import Journal
from isthmus.transfer.ledger import Ledger


def beats(bench: Bench) -> list[str]:
    return [name for name in bench.inside.names() if "heartbeat" in name]


def header_of(bench: Bench, name: str) -> Header:
    read = BundleName.of(name)
    assert read is not None
    copies = {read.ending: bench.outbox / name}
    return open_files(read, copies, {"faces": frozenset((SENDER.public,))}).header


@pytest.mark.parametrize("form", ["tar", "plain"])
def test_a_heartbeat_tells_position_count_and_digest_and_the_receiver_shows_them(
    tmp_path: Path, form: str
) -> None:
    bench = Bench(tmp_path, sending(format=form, heartbeat_s=10.0))
    bench.send(("a", "1"), ("b", "2"), ("a", None), ("c", "3"))
    header = header_of(bench, beats(bench)[-1])
    assert (header.until, dict(header.counts)) == (bench.source.position(), {"records": 2})
    bench.carry()
    bench.receive()
    status = bench.receiver.status()
    assert status.latest == header.until
    assert status.to_json()["content"] == {"records": 2}


def test_what_was_counted_is_shown_for_the_latest_position_alone(tmp_path: Path) -> None:
    bench = Bench(tmp_path, sending(heartbeat_s=10.0))
    bench.send(("a", "1"))
    bench.carry()
    bench.receive()
    bench.carry(*bench.send(("b", "2")))  # no beat is due yet
    bench.receive()
    assert bench.receiver.status().content == {}
    bench.clock.forward(10)
    bench.carry(*bench.send())
    bench.receive()
    assert bench.receiver.status().content == {"records": 2}
    bench.carry(beats(bench)[0])
    bench.receive()
    assert bench.receiver.status().content == {"records": 2}, "an old beat tells nothing of now"


def test_a_count_is_of_the_position_that_is_told_or_not_told(tmp_path: Path) -> None:
    """Changes that are not cut yet are not counted as if they had been sent."""
    bench = Bench(tmp_path, sending(cut_s=60.0, heartbeat_s=10.0))
    bench.send(("a", "1"))
    bench.clock.forward(60)
    bench.send()
    bench.clock.forward(10)
    told = header_of(bench, bench.send(("b", "2"))[0])
    assert (told.until, dict(told.counts)) == (bench.source.positions[1], {})
    counts = bench.source.counts

    def hurried() -> dict[str, int]:
        bench.source.change("c", "3")  # somebody writes while the beat is made
        return counts()

    bench.clock.forward(60)
    bench.source.counts = hurried  # type: ignore[method-assign]
    bench.send()
    told = header_of(bench, beats(bench)[-1])
    assert (told.until, dict(told.counts)) == (bench.source.positions[2], {})


@pytest.mark.parametrize("form", ["tar", "plain"])
def test_a_heartbeat_that_a_crash_cut_short_comes_out_the_same_though_the_content_has_changed(
    tmp_path: Path, form: str
) -> None:
    class Killed(BaseException):
        pass

    def kill(step: str) -> None:
        if step == "outbound recorded" and armed:
            raise Killed

    quiet, victim = (
        Bench(tmp_path / name, sending(format=form, heartbeat_s=10.0)) for name in ("quiet", "victim")
    )
    armed = False
    for bench in (quiet, victim):
        bench.sender._step = kill
        bench.send(("a", "1"), ("b", "2"))
        bench.clock.forward(10)
    quiet.send()
    armed = True
    with pytest.raises(Killed):
        victim.send()
    victim.source.change("c", "3")
    victim.sender = victim.new_sender()
    victim.sender.step()
    name = beats(quiet)[-1]
    assert victim.inside.files[name] == quiet.inside.files[name]
    assert header_of(victim, name).counts == {"records": 2}


def test_a_state_file_of_before_counts_were_told_is_read(tmp_path: Path) -> None:
    """Its tables get the new column; what was recorded then tells no counts."""
    with Store(tmp_path / "old.db") as store:
        Ledger(store, "faces")
        Journal(store, "faces")
        with store.transaction() as connection:
            connection.execute("ALTER TABLE outgoing DROP COLUMN counts")
            connection.execute("ALTER TABLE heard DROP COLUMN content")
            connection.execute("UPDATE migration SET done = 1 WHERE room IN ('outgoing', 'arrived')")
    with Store(tmp_path / "old.db") as store:
        assert Ledger(store, "faces").in_state("recorded") == []
        assert Journal(store, "faces").heard().content == {}
