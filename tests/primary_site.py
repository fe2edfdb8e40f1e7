"""A primary for tests of recovery: a small warehouse, its backup rounds, and a target that rebuilds the tables."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable
from pathlib import Path

import pyarrow as pa
from blake3 import blake3

from isthmus.core.digest import Digest, record_hash
from isthmus.core.errors import Diverged
from isthmus.core.header import Kind
from isthmus.core.ports import Applied, Carrier, Delivery
from isthmus.core.position import Position
from isthmus.recovery.backup import Backup, BackupSettings, Published
from isthmus.recovery.barrier import Barrier, Change
from isthmus.recovery.part import BEGIN, CHANGE, FILES, INDEX, Index
from isthmus.state.store import Store
from isthmus.transfer.inbound import Inbound, InboundSettings
from isthmus.transfer.limits import Limits
from isthmus.transfer.outbound import Outbound, OutboundSettings
from isthmus.transfer.signing import SigningKey
from isthmus.warehouse.catalog import Catalog
from isthmus.warehouse.name import TableName
from isthmus.warehouse.schema import Field, FieldType, Schema
from isthmus.warehouse.table import Table
from transfer_doubles import HandClock

SCHEMA = Schema((Field("id", FieldType.STRING, nullable=False), Field("complex", FieldType.COMPLEX)), "id")
ARROW = pa.schema([pa.field(item.name, item.arrow()) for item in SCHEMA.fields])
A, B = TableName("db", "s", "a"), TableName("db", "s", "b")
SIGNER = SigningKey.create()


def batch(keys: Iterable[int], value: int = 0) -> pa.RecordBatch:
    """Rows of 240 bytes that no codec makes smaller, each following from its key and `value`."""
    rows = [{"id": f"k{key:06d}", "complex": random.Random(f"{key}/{value}").randbytes(240)} for key in keys]
    return pa.RecordBatch.from_pylist(rows, schema=ARROW)


def filled(catalog: Catalog, name: TableName, rows: int = 20) -> Table:
    table = catalog.create(name, SCHEMA)
    table.append([batch(range(rows))])
    return table


def all_tables(catalog: Catalog) -> Callable[[], list[Published]]:
    return lambda: [Published(str(name)) for name in catalog.names()]


class Rebuilt:
    """A target in memory: contents by BLAKE3, the barrier that is shown; every digest is checked."""

    def __init__(self) -> None:
        self.contents: dict[bytes, bytes] = {}
        self.coming: dict[bytes, bytearray] = {}
        self.barrier: Barrier | None = None
        self.standing: Position | None = None
        self.past: dict[tuple[int, int], str] = {}
        self.begun = False
        self.events: list[str] = []
        self.bytes = 0

    def position(self, stream: str) -> Position | None:
        return self.standing

    def seen(self, stream: str, epoch: int, seq: int) -> str | None:
        return self.past.get((epoch, seq))

    def apply(self, bundle: Delivery) -> Applied:
        header = bundle.header
        if header.kind is Kind.SNAPSHOT:
            digest = Digest().plus(record_hash(header.key, b"begin", b"".join(bundle.read(BEGIN))))
            self.begun = True
            self.coming.clear()
        else:
            digest = self._part(bundle)
        if digest != header.until.digest:
            raise Diverged(f"the digest is {digest}, not that of {header.until}")
        self.standing = header.until
        self.past[self.standing.order] = str(digest)
        return Applied(self.standing, 1)

    def _part(self, bundle: Delivery) -> Digest:
        index = Index.of_bytes(b"".join(bundle.read(INDEX)))
        content = b"".join(bundle.read(FILES))
        assert len(content) == sum(piece.length for piece in index.pieces)
        self.bytes += len(content)
        at = 0
        for piece in index.pieces:
            held = self.coming.setdefault(piece.digest, bytearray())
            assert len(held) == piece.offset
            held += content[at : at + piece.length]
            at += piece.length
        if not index.last:
            return index.added_to(self.standing.digest if self.standing else Digest(), bundle.header.key)
        change = Change.of_json(json.loads(b"".join(bundle.read(CHANGE))))
        for digest, raw in self.coming.items():
            assert blake3(raw).digest() == digest
            self.contents[digest] = bytes(raw)
        self.coming.clear()
        self.barrier = change.applied(None if self.begun and not change.prior else self.barrier)
        self.begun = False
        self.events.append(change.event)
        assert self.barrier.contents().keys() <= self.contents.keys(), "a content is missing"
        return self.barrier.digest(bundle.header.key)

    def restore(self, root: Path) -> dict[str, Table]:
        """Write the tables of the shown barrier under a root and open each at its version."""
        assert self.barrier is not None
        found = {}
        for identity, table in self.barrier.tables.items():
            name = TableName.parse(table.name)
            place = root / name.database / name.schema / f"{name.table}.lance"
            for file in self.barrier.files[identity].values():
                into = place / file.path
                into.parent.mkdir(parents=True, exist_ok=True)
                into.write_bytes(self.contents[file.digest])
            found[table.name] = Table(place.as_uri(), version=table.version)
        return found


class Primary:
    """A warehouse with two tables, and its backup; `pair` gives a sender and a receiver over a carrier."""

    def __init__(
        self,
        folder: Path,
        step: Callable[[str], None] = lambda step: None,
        at: HandClock | None = None,
        **settings: object,
    ) -> None:
        self.folder, self.clock = folder, at or HandClock()
        self.catalog = Catalog(folder / "tables")
        self.store = Store(folder / "primary.db")
        self.published: Callable[[], list[Published]] = all_tables(self.catalog)
        self.step = step
        self.backup = Backup(
            self.store,
            self.catalog,
            folder / "recovery",
            lambda: self.published(),
            self.clock,
            BackupSettings(**settings),  # type: ignore[arg-type]
            lambda told: self.step(told),
        )
        self.target = Rebuilt()

    def tags(self) -> list[str]:
        return sorted(file.stem for file in (self.folder / "tables").glob("*/*/*.lance/_refs/tags/*.json"))

    def staged(self) -> list[str]:
        folder = self.folder / "recovery" / "staged"
        return sorted(one.name for one in folder.iterdir()) if folder.exists() else []

    def pair(self, carrier: Carrier, outside: Carrier | None = None) -> tuple[Outbound, Inbound]:
        sender = Outbound(
            self.store,
            self.folder / "outbox",
            self.backup.source,
            carrier,
            SIGNER,
            "north",
            self.clock,
            OutboundSettings(cut_s=0.0, carousel_s=0.0, heartbeat_s=0.0),
        )
        receiver = Inbound(
            Store(Path(":memory:")),
            self.folder / "staging",
            self.target,
            outside or carrier,
            {"recovery": frozenset((SIGNER.public,))},
            Limits(),
            self.clock,
            InboundSettings(gap_alarm_s=60.0, settle_s=0.0, silent_s=0.0),
        )
        return sender, receiver


def carried(sender: Outbound, receiver: Inbound, backup: Backup) -> list[str]:
    """Let the sender send all there is and the receiver apply it; return what the receiver was alarmed about."""
    alarms = []
    while True:
        told = sender.step()
        alarms += [event.detail for event in receiver.step() if event.kind == "alarm"]
        if not told and sender.status().head == backup.source.position():
            return alarms


def same_rows(one: Table, other: Table) -> bool:
    return one.dataset.to_table().sort_by("id") == other.dataset.to_table().sort_by("id")
