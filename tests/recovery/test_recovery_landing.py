from __future__ import annotations

from pathlib import Path

import pytest

from isthmus.app.recovery.picture import restoring
from isthmus.core.errors import Busy, Refused
from isthmus.recovery.states import RESTORE
from isthmus.warehouse import fence
from isthmus.warehouse.catalog import Catalog
from isthmus.warehouse.fence import Fence
from isthmus.warehouse.grants import Grants
from recovery_rounds import NOON, A, B, C, Maker, content, folder, latest, read, rows


def test_rounds_make_the_standby_show_what_the_primary_held(tmp_path: Path) -> None:
    maker = Maker(tmp_path / "north", part_bytes=2500)
    tables = [maker.table(A), maker.table(B)]
    standby = maker.standby(tmp_path / "south")
    for number in range(5):
        made = maker.round()
        assert len(made) > 2 or number
        maker.put(made, standby.gate)
        assert standby.alarms() == []
        assert standby.landing.position("recovery") == maker.standing
        assert standby.landing.barrier() == maker.barrier
        assert read(standby) == maker.shown[maker.barrier.key]  # type: ignore[union-attr]
        assert standby.inbound.request() == ""
        assert standby.landing.holding.check(deep=True) == []
        tables[0].replace([rows(range(number, number + 5), number + 1)], f"id = 'k{number:04d}'")
        if number == 1:
            tables[1].delete("value = 0 AND id < 'k0004'")
            tables[0].compact()
    assert [row.state for row in standby.landing.rounds()] == ["CONFIRM"] * 5
    assert standby.landing.tidy() == []
    rounds = standby.landing.rounds()
    assert [row.state for row in rounds] == ["FINISH"] * 5
    assert [row.full for row in rounds] == [True, False, False, False, False]
    assert rounds[1].prior == rounds[0].key
    assert all(set(row.times) <= RESTORE.states and row.begun and row.ended for row in rounds)


def test_a_round_tells_how_fast_it_was_received_unpacked_and_shown(tmp_path: Path) -> None:
    maker = Maker(tmp_path / "north", part_bytes=500)
    maker.table(A)

    def step(told: str) -> None:
        if told == "landing verified":
            standby.clock.forward(2.0)

    standby = maker.standby(tmp_path / "south", step=step)
    made = maker.round()
    maker.put(made[:-1], standby.gate)
    assert standby.alarms() == []
    coming = standby.landing.rounds()[-1]
    assert coming.pace["received"][0] == coming.pace["unpacked"][0] == coming.bytes > 0
    assert restoring(coming, NOON).rates.consumer == 0.0
    maker.put(made[-1:], standby.gate)
    assert standby.alarms() == []
    shown = standby.landing.rounds()[-1]
    assert shown.state == "CONFIRM" and shown.bytes > coming.bytes
    rates = restoring(shown, NOON).rates
    assert rates.producer > 0
    assert rates.compress > 0
    assert rates.consumer == shown.bytes / 2.0


def test_what_was_staged_by_a_process_that_is_gone_has_no_rate_of_receiving(tmp_path: Path) -> None:
    maker = Maker(tmp_path / "north", part_bytes=500)
    maker.table(A)
    standby = maker.standby(tmp_path / "south")
    made = maker.round()
    maker.put(made[2:], standby.gate)
    standby.take()  # they wait for those before them, and are opened again from the copies
    maker.put(made[:2], standby.gate)
    assert standby.alarms() == []
    shown = standby.landing.rounds()[-1]
    assert shown.state == "CONFIRM"
    assert 0 < shown.pace["received"][0] < shown.pace["unpacked"][0] == shown.bytes


def test_writes_to_a_replica_are_refused_and_other_tables_take_them(tmp_path: Path) -> None:
    maker = Maker(tmp_path / "north")
    maker.table(A)
    standby = maker.standby(tmp_path / "south")
    own = Catalog(standby.root).create(C, maker.catalog.open(A).schema)
    maker.put(maker.round(), standby.gate)
    assert standby.alarms() == []
    with pytest.raises(Refused):
        Catalog(standby.root).open(A).append([rows([99])])
    own.append([rows([1])])
    assert content(Catalog(standby.root).open(C)) == {"k0001": 0}


def test_a_barrier_shows_all_its_tables_at_once(tmp_path: Path) -> None:
    maker = Maker(tmp_path / "north")
    tables = [maker.table(name) for name in (A, B, C)]
    seen: list[dict[str, dict[str, int]]] = []
    standby = maker.standby(tmp_path / "south", step=lambda told: seen.append(read(standby)))
    for number in range(3):
        maker.put(maker.round(), standby.gate)
        assert standby.alarms() == []
        for table in tables:
            table.replace([rows(range(20), number + 1)], "value >= 0")
    whole = [{}, *maker.shown.values()]
    assert len(seen) > 60
    assert all(one in whole for one in seen)
    assert all(one in seen for one in whole)


def test_a_reader_keeps_the_barrier_that_it_opened(tmp_path: Path) -> None:
    maker = Maker(tmp_path / "north")
    table = maker.table(A)
    standby = maker.standby(tmp_path / "south")
    maker.put(maker.round(), standby.gate)
    standby.take()
    reader = Catalog(standby.root).open(A)
    before = content(reader)
    for number in range(4):
        table.replace([rows(range(20), number + 1)], "value >= 0")
        table.compact()
        maker.put(maker.round(), standby.gate)
        assert standby.alarms() == []
        standby.landing.tidy()
        assert content(reader) == before
    assert reader.refresh() == table.version
    assert content(reader) == content(table)


def test_a_renamed_table_is_linked_and_not_sent_again(tmp_path: Path) -> None:
    maker = Maker(tmp_path / "north")
    maker.table(A, range(500))
    standby = maker.standby(tmp_path / "south", grace_s=0.0)
    maker.put(maker.round(), standby.gate)
    standby.take()
    maker.catalog.rename(A, B)
    made = maker.round()
    maker.put(made, standby.gate)
    assert standby.alarms() == []
    assert standby.landing.rounds()[-1].bytes == 0
    assert read(standby).keys() == {"db.s.b"}
    assert folder(standby.root, A).is_dir()
    with pytest.raises(Refused):  # its name is not free before its files have gone
        Catalog(standby.root).create(A, maker.catalog.open(B).schema)
    maker.put(maker.round(), standby.gate)
    standby.take()
    assert "removed the table db.s.a, which is not replicated any more" in standby.landing.tidy()
    assert not folder(standby.root, A).exists()
    assert standby.fence.hidden == ()
    assert standby.landing.holding.check(deep=True) == []
    assert latest(standby.root, B) == maker.catalog.open(B).version


def test_two_tables_that_change_names_change_places(tmp_path: Path) -> None:
    maker = Maker(tmp_path / "north")
    maker.table(A, range(5), 1)
    maker.table(B, range(7), 2)
    seen: list[dict[str, dict[str, int]]] = []
    standby = maker.standby(tmp_path / "south", step=lambda told: seen.append(read(standby)))
    maker.put(maker.round(), standby.gate)
    standby.take()
    maker.catalog.rename(A, C)
    maker.catalog.rename(B, A)
    maker.catalog.rename(C, B)
    maker.put(maker.round(), standby.gate)
    assert standby.alarms() == []
    assert read(standby) == maker.shown[maker.barrier.key]  # type: ignore[union-attr]
    old, new = maker.shown.values()
    for one in seen:  # a table may be hidden while its place is taken, but none is of another barrier
        assert one.items() <= old.items() or one.items() <= new.items()
    assert standby.landing.holding.check(deep=True) == []


def test_a_table_that_was_dropped_and_made_anew_comes_to_the_same_version(tmp_path: Path) -> None:
    maker = Maker(tmp_path / "north")
    maker.table(A, range(5), 1)
    seen: list[dict[str, dict[str, int]]] = []
    standby = maker.standby(tmp_path / "south", step=lambda told: seen.append(read(standby)), grace_s=0.0)
    maker.put(maker.round(), standby.gate)
    standby.take()
    maker.catalog.drop(A)
    maker.table(A, range(9), 2)
    maker.put(maker.round(), standby.gate)
    assert standby.alarms() == []
    old, new = maker.shown.values()
    assert read(standby) == new
    assert all(one in ({}, old, new) for one in seen)
    maker.put(maker.round(), standby.gate)
    standby.take()
    standby.landing.tidy()
    assert standby.landing.holding.check(deep=True) == []
    assert read(standby) == new


@pytest.mark.parametrize("desync", ["none", "log-desync-table", "drop-desync-table"])
def test_a_table_that_leaves_goes_as_it_was_asked_for(tmp_path: Path, desync: str) -> None:
    maker = Maker(tmp_path / "north")
    maker.table(A)
    maker.table(B)
    standby = maker.standby(tmp_path / "south", desync=desync, grace_s=0.0)
    maker.put(maker.round(), standby.gate)
    standby.take()
    was = read(standby)
    maker.catalog.drop(B)
    for _ in range(3):
        maker.put(maker.round(), standby.gate)
        assert standby.alarms() == []
        standby.landing.tidy()
    holding = standby.landing.holding
    told = [(one.kind, one.name) for one in holding.findings()]
    assert told == ([] if desync == "none" else [("desync", "db.s.b")])
    if desync == "drop-desync-table":
        assert read(standby).keys() == {"db.s.a"}
        assert not folder(standby.root, B).exists()
        assert holding.left() == {}
        return
    assert read(standby) == was
    assert holding.left().keys() == {"db.s.b"}
    with pytest.raises(Refused):
        Catalog(standby.root).open(B).append([rows([99])])
    standby.landing.release("db.s.b")
    Catalog(standby.root).open(B).append([rows([99], 7)])
    assert read(standby)["db.s.b"] == {**was["db.s.b"], "k0099": 7}


def test_a_table_that_left_and_comes_again_is_not_sent_again(tmp_path: Path) -> None:
    maker = Maker(tmp_path / "north")
    maker.table(A)
    maker.table(B, range(900))
    standby = maker.standby(tmp_path / "south", grace_s=0.0)
    for out in (set(), {B}, set()):
        maker.unpublished = out
        maker.put(maker.round(full=True, known=standby.landing.holding.inventory()), standby.gate)
        assert standby.alarms() == []
        standby.landing.tidy()
        assert read(standby)["db.s.b"] == content(maker.catalog.open(B))
    assert standby.landing.rounds()[-1].bytes == 0
    assert standby.landing.holding.left() == {}
    assert standby.landing.holding.check(deep=True) == []


def test_an_own_table_of_the_standby_is_never_overwritten(tmp_path: Path) -> None:
    maker = Maker(tmp_path / "north")
    maker.table(A)
    maker.table(B)
    standby = maker.standby(tmp_path / "south")
    own = Catalog(standby.root).create(A, maker.catalog.open(A).schema)
    own.append([rows([1], 77)])
    maker.put(maker.round(), standby.gate)
    for _ in range(2):
        with pytest.raises(Busy, match=r"the table db\.s\.a of this site is not the one that north replicates"):
            standby.take()
        assert read(standby) == {"db.s.a": {"k0001": 77}}
        assert "db.s.a" in standby.landing.rounds()[-1].error
        own.append([rows([own.version], 78)])
        own.delete("value = 78")
    Catalog(standby.root).rename(A, C)
    assert standby.alarms() == []
    assert read(standby) == {**maker.shown[maker.barrier.key], "db.s.c": {"k0001": 77}}  # type: ignore[union-attr]


def test_a_full_round_heals_a_gap_and_leaves_out_what_is_held(tmp_path: Path) -> None:
    maker = Maker(tmp_path / "north", part_bytes=12_000)
    table = maker.table(A, range(2000))
    standby = maker.standby(tmp_path / "south")
    maker.put(maker.round(), standby.gate)
    standby.take()
    for number in range(3):
        table.append([rows(range(3000 + number, 3010 + number), number)]) if not number else None
        made = maker.round()
    maker.put(made[-1:], standby.gate)  # the rounds between are lost
    standby.take()
    assert standby.inbound.request() != ""
    held = standby.landing.holding.inventory()
    maker.put(maker.round(full=True, known=held), standby.gate)
    assert standby.alarms() == []
    assert read(standby) == maker.shown[maker.barrier.key]  # type: ignore[union-attr]
    assert standby.inbound.request() == ""
    last = standby.landing.rounds()[-1]
    assert last.full
    assert last.bytes < standby.landing.rounds()[0].bytes


def test_a_full_round_begins_while_another_is_half_there(tmp_path: Path) -> None:
    maker = Maker(tmp_path / "north", part_bytes=3000)
    table = maker.table(A)
    standby = maker.standby(tmp_path / "south")
    maker.put(maker.round(), standby.gate)
    standby.take()
    before = read(standby)
    table.append([rows(range(100, 400), 1)])
    maker.put(maker.round()[:-1], standby.gate)
    standby.take()
    assert read(standby) == before
    maker.put(maker.round(full=True), standby.gate)
    assert standby.alarms() == []
    assert [row.state for row in standby.landing.rounds()] == ["CONFIRM", "DROPPED", "CONFIRM"]
    assert read(standby) == maker.shown[maker.barrier.key]  # type: ignore[union-attr]


def test_a_content_that_is_not_what_it_should_be_is_never_published(tmp_path: Path) -> None:
    maker = Maker(tmp_path / "north")
    table = maker.table(A)
    standby = maker.standby(tmp_path / "south")
    maker.put(maker.round(), standby.gate)
    standby.take()
    before = read(standby)
    table.append([rows(range(50, 60), 3)])
    digest = sorted(set(maker.cut().contents()) - maker.sent)[0]
    maker.put(maker.round(wrong=digest), standby.gate)
    standby.take()
    assert "damaged or have not come" in standby.reasons()
    assert standby.landing.missing() == [digest]
    assert digest not in standby.landing.holding.inventory()
    assert standby.landing.rounds()[-1].state == "RECEIVED"
    assert read(standby) == before
    maker.put(maker.round(full=True, known=standby.landing.holding.inventory()), standby.gate)
    assert standby.alarms() == []
    assert standby.landing.missing() == []
    assert read(standby) == maker.shown[maker.barrier.key]  # type: ignore[union-attr]
    assert standby.landing.holding.check(deep=True) == []


def test_a_site_that_follows_nobody_takes_no_rounds(tmp_path: Path) -> None:
    maker = Maker(tmp_path / "north")
    maker.table(A)
    standby = maker.standby(tmp_path / "south")
    maker.put(maker.round(), standby.gate)
    fence.write(standby.root, Fence("primary", 2))
    with pytest.raises(Busy, match="takes no rounds"):
        standby.take()
    fence.write(standby.root, Fence("standby", 2))
    standby.take()
    assert "which was ended" in standby.reasons()
    assert read(standby) == {}


def test_rights_on_the_tables_travel(tmp_path: Path) -> None:
    maker = Maker(tmp_path / "north")
    maker.table(A)
    maker.grants = (("ann", "select"), ("bob", "all"))
    standby = maker.standby(tmp_path / "south")
    grants = Grants(standby.store)
    grants.grant("db.s.a", "eve", "all")
    for told in (maker.grants, (("ann", "insert"),), ()):
        maker.grants = told
        maker.put(maker.round(event="switchover" if not told else ""), standby.gate)
        assert standby.alarms() == []
        assert grants.of("db.s.a") == told
    assert standby.landing.event() == "switchover"


def test_a_right_that_is_none_stops_the_round_before_anything_is_shown(tmp_path: Path) -> None:
    maker = Maker(tmp_path / "north")
    maker.table(A)
    maker.grants = (("ann", "everything"),)
    standby = maker.standby(tmp_path / "south")
    maker.put(maker.round(), standby.gate)
    standby.take()
    assert "grants what cannot be granted" in standby.reasons()
    assert standby.fence.barrier == ""
