"""Damages to files: a bit flipped, an end cut off, a file gone, spread evenly over all bytes of some files."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from blake3 import blake3

from isthmus.core.errors import Corrupt, Diverged
from isthmus.core.header import Header
from recovery_rounds import A, B, Made, Maker, folder, read, rows
from recovery_standby import Standby


@dataclass(frozen=True)
class Given:
    """A verified bundle without the bundle, as a `core.ports.Delivery`."""

    header: Header
    members: dict[str, Callable[[], Iterator[bytes]]]

    def read(self, member: str) -> Iterator[bytes]:
        return self.members[member]()


def given(made: Sequence[Made]) -> list[Given]:
    return [Given(header, members) for header, members in made]


def damage(files: Sequence[Path], number: int, of: int, draw: random.Random) -> tuple[Path, str]:
    """Do the damage `number` of so many; return the file and what was done to it."""
    sizes = [file.stat().st_size for file in files]
    at, chosen = sum(sizes) * number // of, 0
    while at >= sizes[chosen]:
        at, chosen = at - sizes[chosen], chosen + 1
    file = files[chosen]
    kind = ("flipped", "flipped", "truncated", "missing")[number % 4]
    raw = bytearray(file.read_bytes())
    file.unlink()  # another file: what shares its bytes stays as it is
    if kind == "flipped":
        raw[at] ^= 1 << draw.randrange(8)
        file.write_bytes(raw)
    elif kind == "truncated":
        file.write_bytes(raw[:at])
    return file, kind


def followed(tmp_path: Path, **options: object) -> tuple[Maker, Standby]:
    """A primary with two tables, and a standby that shows them."""
    maker = Maker(tmp_path / "north")
    maker.table(A, range(40))
    maker.table(B, range(10)).delete("id = 'k0003'")
    standby = maker.standby(tmp_path / "south", **options)
    maker.put(maker.round(), standby.gate)
    assert standby.alarms() == []
    return maker, standby


def level(maker: Maker, standby: Standby) -> None:
    assert maker.barrier is not None
    assert read(standby) == maker.shown[maker.barrier.key]
    assert standby.landing.holding.check(deep=True) == []


def files_in(root: Path) -> dict[Path, tuple[int, int]]:
    return {file: (file.stat().st_ino, file.stat().st_size) for file in root.rglob("*") if file.is_file()}


def published_damages(tmp_path: Path, number_of: int) -> int:
    """Damage published files: each is found, and repair replaces it alone. Returns how many were so."""
    maker, standby = followed(tmp_path)
    holding, draw = standby.landing.holding, random.Random(4)
    barrier = standby.landing.barrier()
    assert barrier is not None
    here = {file.digest: path for file in _files(barrier) for path in holding.paths(file.digest)}
    there = {blake3(path.read_bytes()).digest(): path for path in maker.folder.rglob("*") if path.is_file()}
    paths, mended = sorted(here.values()), 0
    for number in range(number_of):
        before = files_in(standby.root)
        path, kind = damage(paths, number, number_of, draw)
        (found,) = holding.check(deep=True)
        assert (folder(standby.root, A).parent / f"{found.name[-1]}.lance" / found.path, found.kind) == (
            path,
            kind,
        )
        if number % 3 == 0 and "_versions" not in path.parts:
            assert holding.repair(lambda digest: None) == []
            assert holding.missing() == [found.digest]
            assert found.digest not in holding.inventory()
        assert [one.path for one in holding.repair(there.get)] == [found.path]
        after = files_in(standby.root)
        assert {one for one in after if after[one] != before[one]} <= {path}
        assert holding.missing() == []
        mended += 1
    level(maker, standby)
    return mended


def _files(barrier: object) -> list[object]:
    return [file for files in barrier.files.values() for file in files.values()]  # type: ignore[attr-defined]


def staged_damages(tmp_path: Path, number_of: int) -> int:
    """Damage staged contents before the last part of their round: nothing of it is shown.

    Returns how many were found.
    """
    maker, standby = followed(tmp_path)
    landing, draw, found = standby.landing, random.Random(5), 0
    maker.part_bytes = 2000
    maker.catalog.open(A).append([rows(range(100, 300), 6)])
    for number in range(number_of):
        shown = read(standby) if number % 10 == 0 else None
        known = landing.holding.inventory() if maker.barrier else {}
        bundles = given(maker.round(full=number > 0, known=known))
        for bundle in bundles[:-1]:
            landing.apply(bundle)
        staged = sorted(path for path in (standby.folder / "landing" / "contents").glob("*/*"))
        damage(staged, number, number_of, draw)
        before = standby.fence
        with pytest.raises((Diverged, Corrupt)):  # Corrupt: the last part leads on from what is gone
            landing.apply(bundles[-1])
        assert standby.fence == before
        assert shown is None or read(standby) == shown
        found += 1
    for bundle in given(maker.round(full=True)):
        landing.apply(bundle)
    level(maker, standby)
    return found
