"""Rounds for tests of the standby: real tables cut into real parts, sealed and signed, and a standby for them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path

import lance
import pyarrow as pa
from blake3 import blake3

from isthmus.core.digest import Digest, record_hash
from isthmus.core.header import Header, Kind
from isthmus.core.position import Position
from isthmus.recovery.barrier import Barrier, Change, HeldFile, TableAt, key_of
from isthmus.recovery.part import BEGIN, CHANGE, FILES, INDEX, Index, parted
from isthmus.state.store import Store
from isthmus.transfer.formats import seal
from isthmus.transfer.signing import SigningKey
from isthmus.warehouse.catalog import Catalog
from isthmus.warehouse.files import files_of, manifest_of
from isthmus.warehouse.name import TableName
from isthmus.warehouse.place import local_path
from isthmus.warehouse.schema import Field, FieldType, Schema
from isthmus.warehouse.table import Table
from recovery_standby import STREAM, Standby
from transfer_doubles import BEGIN as NOON

SCHEMA = Schema((Field("id", FieldType.STRING, nullable=False), Field("value", FieldType.INT)), "id")
ARROW = pa.schema([pa.field(item.name, item.arrow()) for item in SCHEMA.fields])
A, B, C = (TableName("db", "s", name) for name in "abc")
KEY = b"d" * 32
Made = tuple[Header, dict[str, Callable[[], Iterator[bytes]]]]


def rows(keys: Iterable[int], value: int = 0) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist([{"id": f"k{key:04d}", "value": value} for key in keys], schema=ARROW)


def content(table: Table) -> dict[str, int]:
    return {row["id"]: row["value"] for batch in table.scan() for row in batch.to_pylist()}


class Maker:
    """A primary without its machinery: cuts whatever its tables hold, and seals it where it is told to."""

    def __init__(self, folder: Path, part_bytes: int = 1 << 20) -> None:
        self.folder, self.part_bytes = folder, part_bytes
        folder.mkdir(parents=True, exist_ok=True)
        self.catalog = Catalog(folder / "tables")
        self.signer = SigningKey.create()
        self.standing = Position(1, 0)
        self.barrier: Barrier | None = None
        self.sent: set[bytes] = set()
        self.at = NOON
        self.grants: tuple[tuple[str, str], ...] = ()
        self.unpublished: set[TableName] = set()
        self.shown: dict[str, dict[str, dict[str, int]]] = {}

    def table(self, name: TableName = A, keys: Iterable[int] = range(20), value: int = 0) -> Table:
        table = self.catalog.create(name, SCHEMA)
        table.append([rows(keys, value)])
        return table

    def cut(self) -> Barrier:
        """Take a barrier, and remember what its tables hold."""
        self.at += timedelta(seconds=60)
        tables, files, held = {}, {}, {}
        for name in self.catalog.names():
            if name in self.unpublished:
                continue
            table = self.catalog.open(name)
            place = local_path(table.uri)
            assert place is not None
            held[str(name)] = content(table)
            tables[table.identity] = TableAt(
                str(name),
                table.identity,
                table.version,
                manifest_of(table),
                table.count(),
                grants=self.grants,
            )
            files[table.identity] = {
                file.path: HeldFile(file.path, file.size, blake3((place / file.path).read_bytes()).digest())
                for file in files_of(table)
            }
        barrier = Barrier(key_of(self.at), self.at, tables, files)
        self.shown[barrier.key] = held
        return barrier

    def round(
        self, *, full: bool = False, event: str = "", known: Iterable[bytes] = (), wrong: bytes = b""
    ) -> list[Made]:
        """Make the bundles of a round; a full one leaves out what is `known` to be held. The first is full."""
        made = []
        barrier = self.cut()
        if full or self.barrier is None:
            self.sent = set(known)
            begin = json.dumps({"seq": self.standing.seq + 1}).encode()
            until = self._next(Digest().plus(record_hash(KEY, b"begin", begin)))
            made.append(
                (
                    self._header(Kind.SNAPSHOT, Position(until.epoch, 0), until),
                    {BEGIN: partial(iter, [begin])},
                )
            )
            self.standing = until
            self.barrier = None
        change = Change.between(self.barrier, barrier, event)
        contents = {digest: size for digest, size in barrier.contents().items() if digest not in self.sent}
        parts = list(parted(sorted(contents.items()), self.part_bytes))
        sources = self._sources(barrier)
        for number, pieces in enumerate(parts, 1):
            index = Index(barrier.key, number, number == len(parts), pieces)
            digest = barrier.digest(KEY) if index.last else index.added_to(self.standing.digest, KEY)
            members = {INDEX: partial(iter, [index.to_bytes()]), FILES: partial(_bytes, sources, pieces, wrong)}
            if index.last:
                members[CHANGE] = partial(iter, [json.dumps(change.to_json()).encode()])
            until = self._next(digest)
            made.append((self._header(Kind.INCREMENT, self.standing, until), members))
            self.standing = until
        self.barrier = barrier
        self.sent = set(barrier.contents())
        return made

    def put(self, made: Iterable[Made], gate: Path) -> list[Path]:
        """Seal bundles into a folder."""
        return [file for header, members in made for file in seal("tar", gate, header, members, self.signer)]

    def new_epoch(self) -> None:
        self.standing, self.barrier = Position(self.standing.epoch + 1, 0), None

    def standby(self, folder: Path, **options: object) -> Standby:
        """Make a standby that follows this primary."""
        return Standby(folder, self.signer.public, **options)  # type: ignore[arg-type]

    def _next(self, digest: Digest) -> Position:
        return replace(self.standing, seq=self.standing.seq + 1, digest=digest)

    def _header(self, kind: Kind, since: Position, until: Position) -> Header:
        return Header(STREAM, kind, since, until, "north", self.at, KEY, "none")

    def _sources(self, barrier: Barrier) -> dict[bytes, Path]:
        found = {}
        for identity, files in barrier.files.items():
            place = local_path(self.catalog.uri(TableName.parse(barrier.tables[identity].name)))
            assert place is not None
            found.update({file.digest: place / file.path for file in files.values()})
        return found


def _bytes(sources: dict[bytes, Path], pieces: Iterable[object], wrong: bytes) -> Iterator[bytes]:
    for piece in pieces:
        with sources[piece.digest].open("rb") as file:  # type: ignore[attr-defined]
            file.seek(piece.offset)  # type: ignore[attr-defined]
            found = bytearray(file.read(piece.length))  # type: ignore[attr-defined]
        if wrong and piece.digest == wrong and found:  # type: ignore[attr-defined]
            found[len(found) // 2] ^= 1
        yield bytes(found)


def read(standby: Standby) -> dict[str, dict[str, int]]:
    """Read all tables of a standby through its catalogue."""
    catalog = Catalog(standby.root)
    return {str(name): content(catalog.open(name)) for name in catalog.names()}


def folder(root: Path, name: TableName = A) -> Path:
    return root / name.database / name.schema / f"{name.table}.lance"


def latest(root: Path, name: TableName = A) -> int:
    return int(lance.dataset(str(folder(root, name))).version)


def raw_append(root: Path, name: TableName, keys: Iterable[int], value: int) -> int:
    """Write to a table past every fence, as somebody with Lance alone does; return the version."""
    batch = rows(keys, value)
    place = str(folder(root, name))
    schema = lance.dataset(place).schema
    table = pa.Table.from_batches([batch]).cast(schema)
    return int(lance.write_dataset(table, place, mode="append").version)


def memory() -> Store:
    return Store(Path(":memory:"))
