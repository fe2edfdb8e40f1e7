from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from isthmus.core.digest import Digest, record_hash
from isthmus.core.errors import Corrupt, InputError
from isthmus.core.header import Kind
from isthmus.core.ports import Cut
from isthmus.core.position import Position
from isthmus.recovery.barrier import Barrier, Change, HeldFile, TableAt
from isthmus.recovery.part import BEGIN, CHANGE, FILES, INDEX, Index
from isthmus.recovery.sealing import parts_of
from isthmus.recovery.shards import Shards, bucketed
from isthmus.transfer.gate import Gate
from isthmus.transfer.memory import MemoryCarrier
from primary_site import A, B, Primary, batch, carried, filled, same_rows
from transfer_doubles import BEGIN as NOON

KEY = b"k" * 32


def members(cut: Cut | None) -> dict[str, bytes]:
    assert cut is not None
    return {name: b"".join(make()) for name, make in cut.members.items()}


def stream(site: Primary) -> list[Cut]:
    """All parts from the last mark on."""
    source, found = site.backup.source, []
    cut = source.after(source.snapshot().until, 1)
    while cut is not None:
        found.append(cut)
        cut = source.after(cut.until, 1)
    return found


@pytest.mark.parametrize("kind", ["memory", "gate"])
def test_tables_come_out_of_the_round_trip_byte_for_byte(tmp_path: Path, kind: str) -> None:
    site = Primary(tmp_path / "north", part_bytes=25_000)
    tables = [filled(site.catalog, A, 300), filled(site.catalog, B)]
    (tmp_path / "gate").mkdir()
    sender, receiver = site.pair(MemoryCarrier() if kind == "memory" else Gate(tmp_path / "gate"))
    for number in range(4):
        found = site.backup.round()
        assert found is not None
        assert found.last_seq > found.first_seq or number
        assert carried(sender, receiver, site.backup) == []
        assert site.target.standing == site.backup.source.position()
        assert site.target.barrier == site.backup.barrier()
        out = tmp_path / f"out{number}"
        restored = site.target.restore(out)
        assert all(same_rows(restored[str(name)], table) for name, table in zip((A, B), tables, strict=True))
        for file in filter(Path.is_file, out.rglob("*")):
            assert file.read_bytes() == (tmp_path / "north" / "tables" / file.relative_to(out)).read_bytes()
        tables[0].replace([batch(range(number * 7, number * 7 + 5), number + 1)], f"id = 'k{number * 7:06d}'")
        if number == 1:
            tables[1].delete("id < 'k000004'")
            tables[0].compact()
        site.clock.forward(60)
    site.backup.confirm(site.target.standing or Position(1, 0))
    assert (site.tags(), site.staged()) == ([], [])


def test_a_part_comes_out_with_the_same_bytes_whoever_asks_and_whatever_is_asked_for(tmp_path: Path) -> None:
    site = Primary(tmp_path, part_bytes=4000)
    table = filled(site.catalog, A, 200)
    site.backup.round()
    first = [(cut.since, cut.until, cut.counts, members(cut)) for cut in stream(site)]
    assert len(first) > 2
    assert all(len(told[FILES]) <= 4000 for _, _, _, told in first)
    table.append([batch(range(500, 510))])
    site.backup.round()
    table.compact()
    again = Primary(tmp_path)
    source = again.backup.source
    assert source.key == site.backup.source.key
    for since, until, counts, told in first:
        for most_bytes in (1, 1 << 30):
            cut = source.after(since, most_bytes)
            assert cut is not None
            assert (cut.until, cut.counts, members(cut)) == (until, counts, told)
            assert cut.kind is Kind.INCREMENT


def test_what_is_not_kept_or_never_was_is_an_input_error(tmp_path: Path) -> None:
    site = Primary(tmp_path, part_bytes=4000)
    filled(site.catalog, A, 200)
    source = site.backup.source
    assert source.position() == Position(1, 0)
    assert source.after(source.position(), 1) is None
    site.backup.round()
    begin = source.snapshot().until
    end = source.position()
    assert source.after(end, 1) is None
    assert source.pending(end) == 0
    assert source.pending(begin) > 200 * 240
    for wrong in (
        Position(1, 0),  # a mark stands there
        Position(2, 0),
        Position(1, end.seq + 1, end.digest),
        Position(1, end.seq, begin.digest),
        Position(1, 0, end.digest),
    ):
        with pytest.raises(InputError):
            source.after(wrong, 1)
        with pytest.raises(InputError):
            source.pending(wrong)
    site.backup.confirm(end)
    with pytest.raises(InputError, match="not kept any more"):
        source.after(begin, 1)
    assert source.after(end, 1) is None


def test_a_snapshot_is_the_same_mark_until_the_sender_has_gone_beyond_it(tmp_path: Path) -> None:
    site = Primary(tmp_path)
    filled(site.catalog, A)
    source = site.backup.source
    mark = source.snapshot()
    assert (mark.kind, mark.since, mark.until.order) == (Kind.SNAPSHOT, Position(1, 0), (1, 1))
    assert mark.until.digest == Digest().plus(record_hash(source.key, b"begin", members(mark)[BEGIN]))
    assert source.snapshot().until == mark.until
    assert members(source.snapshot()) == members(mark)
    found = site.backup.round()
    assert found is not None
    assert (found.full, found.first_seq) == (True, 2)
    assert source.snapshot().until == mark.until
    assert source.after(mark.until, 1) is not None
    later = source.snapshot()
    assert later.until.order == (1, found.last_seq + 1)
    assert source.position() == later.until == source.snapshot().until
    assert site.backup.full_due
    second = site.backup.round()
    assert second is not None
    assert (second.full, second.prior, second.first_seq) == (True, "", later.until.seq + 1)
    assert not site.backup.full_due


def test_the_counts_are_whole_numbers_of_the_last_sealed_round(tmp_path: Path) -> None:
    site = Primary(tmp_path)
    source = site.backup.source
    assert source.counts() == {"round": 0, "tables": 0, "rows": 0}
    filled(site.catalog, A, 7)
    filled(site.catalog, B, 5)
    site.backup.round()
    site.backup.round()
    assert source.counts() == {"round": 2, "tables": 2, "rows": 12}


def test_a_staged_file_that_changed_after_sealing_is_never_sent(tmp_path: Path) -> None:
    site = Primary(tmp_path)
    filled(site.catalog, A)
    found = site.backup.round()
    assert found is not None
    begin = site.backup.source.snapshot().until

    def sent() -> dict[str, bytes]:
        return members(site.backup.source.after(begin, 1))

    staged = next((tmp_path / "recovery" / "staged" / found.key).glob("*/data/*.lance"))
    raw = bytearray(staged.read_bytes())
    raw[7] ^= 1
    staged.write_bytes(raw)
    with pytest.raises(Corrupt, match="not what it was"):
        sent()
    staged.write_bytes(raw[:-1])
    with pytest.raises(Corrupt):
        sent()
    staged.unlink()
    with pytest.raises(InputError, match="not kept"):
        sent()
    shutil.rmtree(tmp_path / "recovery" / "staged")
    with pytest.raises(InputError, match="not kept"):
        sent()


def test_a_standby_that_missed_everything_is_healed_by_a_snapshot_and_a_full_round(tmp_path: Path) -> None:
    site = Primary(tmp_path, part_bytes=4000)
    table = filled(site.catalog, A, 100)
    inside, outside = MemoryCarrier(), MemoryCarrier()
    sender, receiver = site.pair(inside, outside)
    for _ in range(2):
        site.backup.round()
        while sender.step():
            pass
        table.append([batch([1000 + site.backup.source.position().seq])])
    inside.files.clear()
    assert sender.snapshot()
    assert site.backup.full_due
    site.backup.round()
    while sender.step():
        pass
    for name, content in inside.files.items():
        outside.hold(name, content)
    receiver.step()
    assert site.target.standing == site.backup.source.position()
    assert same_rows(site.target.restore(tmp_path / "out")[str(A)], table)


def test_a_lost_part_is_sent_again_on_request(tmp_path: Path) -> None:
    site = Primary(tmp_path, part_bytes=4000)
    filled(site.catalog, A, 100)
    inside, outside = MemoryCarrier(), MemoryCarrier()
    sender, receiver = site.pair(inside, outside)
    site.backup.round()
    while sender.step():
        pass
    lost = sorted(inside.files)[2]
    for name, content in inside.files.items():
        if name != lost:
            outside.hold(name, content)
    receiver.step()
    assert site.target.standing != site.backup.source.position()
    assert lost in "".join(sender.resend(receiver.request()))
    outside.hold(lost, inside.files[lost])
    receiver.step()
    assert site.target.standing == site.backup.source.position()


def test_after_what_was_let_go_before_it_was_sent_a_full_round_heals_all(tmp_path: Path) -> None:
    site = Primary(tmp_path, part_bytes=4000, local_reserve=1)
    table = filled(site.catalog, A, 100)
    sender, receiver = site.pair(MemoryCarrier())
    site.backup.round()
    assert carried(sender, receiver, site.backup) == []
    for number in range(3):  # nothing is sent meanwhile
        table.append([batch([1000 + number])])
        site.backup.round()
    assert [row.state for row in site.backup.rounds()].count("SEND") == 1
    assert carried(sender, receiver, site.backup) == []  # a mark alone
    assert site.target.barrier != site.backup.barrier()
    assert (site.backup.round() or pytest.fail("none")).full
    assert carried(sender, receiver, site.backup) == []
    assert site.target.standing == site.backup.source.position()
    assert same_rows(site.target.restore(tmp_path / "out")[str(A)], table)


@st.composite
def barriers(draw: st.DrawFn) -> tuple[Barrier, Mapping[bytes, bytes]]:
    contents: dict[bytes, bytes] = {}
    tables, files = {}, {}
    for number in range(draw(st.integers(0, 3))):
        identity = f"{number:032x}"
        paths = {"_versions/1.manifest"} | {f"data/{one}.lance" for one in draw(st.sets(st.integers(0, 6)))}
        files[identity] = {}
        for path in sorted(paths):
            raw = draw(st.binary(max_size=40))
            digest = blake3(raw).digest()
            contents[digest] = raw
            files[identity][path] = HeldFile(path, len(raw), digest)
        how = draw(st.sampled_from(["hash(id)", "roundrobin", "replicated"]))
        tables[identity] = TableAt(f"d.s.t{number}", identity, 1, "_versions/1.manifest", 0, how)
    return Barrier("20260301_120000", NOON, tables, files), contents


SHARDS = st.sampled_from([Shards(), Shards(2, 1), Shards(6, 3), Shards(3, 3), Shards(1, 5)])


@given(barriers(), st.integers(1, 60), st.integers(0, 3), SHARDS)
def test_any_contents_are_parted_and_put_together_again(
    made: tuple[Barrier, Mapping[bytes, bytes]], part_bytes: int, held_count: int, shards: Shards
) -> None:
    barrier, contents = made
    held = sorted(contents)[:held_count]
    base = Position(1, 1, Digest().plus(record_hash(KEY, b"begin", b"x")))
    parts = parts_of(barrier, None, held, base, KEY, part_bytes, 1, shards=shards)
    digest, gathered = base.digest, {}
    for count, part in enumerate(parts, 1):
        index = Index.of_bytes(part.body)
        assert (index.number, index.last, part.position.seq) == (count, count == len(parts), base.seq + count)
        assert sum(piece.length for piece in index.pieces) == part.size <= part_bytes
        assert len(part.places) == len(index.pieces)
        for piece in index.pieces:
            have = gathered.setdefault(piece.digest, b"")
            assert len(have) == piece.offset
            gathered[piece.digest] = have + contents[piece.digest][piece.offset : piece.offset + piece.length]
        digest = barrier.digest(KEY) if index.last else index.added_to(digest, KEY)
        assert part.position.digest == digest
        assert (part.change is not None) == index.last
    assert gathered == {one: raw for one, raw in contents.items() if one not in held}
    assert Change.of_json(json.loads(parts[-1].change or b"")).applied(None) == barrier
    assert INDEX and CHANGE


@given(barriers(), st.integers(1, 200), SHARDS)
def test_a_part_holds_files_of_one_pair_of_shards_alone(
    made: tuple[Barrier, Mapping[bytes, bytes]], part_bytes: int, shards: Shards
) -> None:
    barrier, _ = made
    parts = parts_of(barrier, None, (), Position(1, 1), KEY, part_bytes, 1, shards=shards)
    pairs = {}
    for identity, files in barrier.files.items():
        data = [path for path in files if path.startswith("data/")]
        for path, bucket in bucketed(barrier.tables[identity].distribution, identity, data).items():
            pairs[f"{identity}/{path}"] = (*shards.here(bucket), "to", *shards.there(bucket))
    seen = []
    for part in parts:
        found = {pairs[place] for place in part.places if place in pairs}
        assert len(found) <= 1 or shards == Shards()
        seen += [pair for pair in found if not seen or seen[-1] != pair]
    if shards != Shards():
        assert len(seen) == len(set(seen)), "what one pair deals with comes in one go"
