"""A small source and small targets for the tests of the gate: records are text by key, changes JSON lines."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from isthmus.core.digest import Digest, record_hash
from isthmus.core.errors import Corrupt, Diverged, InputError
from isthmus.core.header import Kind
from isthmus.core.ports import Applied, Cut, Delivery
from isthmus.core.position import Position
from isthmus.state.store import Store

MEMBER = "entries.bson"
KEY = b"k" * 32
BEGIN = datetime(2026, 3, 1, 12, tzinfo=UTC)

Change = tuple[str, str | None]
"""A key, and its new text or None where it is removed."""


class HandClock:
    """A clock that a test moves."""

    def __init__(self, at: datetime = BEGIN) -> None:
        self.at = at

    def now(self) -> datetime:
        return self.at

    def forward(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


def digest_of(records: dict[str, str]) -> Digest:
    total = Digest()
    for key, text in records.items():
        total = total.plus(record_hash(KEY, key.encode(), text.encode()))
    return total


def changed(records: dict[str, str], digest: Digest, change: Change) -> Digest:
    """Make a change in `records`; return their new digest."""
    key, text = change
    if key in records:
        digest = digest.minus(record_hash(KEY, key.encode(), records.pop(key).encode()))
    if text is not None:
        records[key] = text
        digest = digest.plus(record_hash(KEY, key.encode(), text.encode()))
    return digest


def lines(changes: list[Change]) -> Iterator[bytes]:
    for change in changes:
        yield json.dumps(change).encode() + b"\n"


class ListSource:
    """A source that is a list of changes; `history` gives the content at every position it ever had."""

    stream = "faces"
    key = KEY

    def __init__(self, epoch: int = 1) -> None:
        self.epoch = epoch
        self.changes: list[Change] = []
        self.kept_from = 0
        self.records: dict[str, str] = {}
        self.positions = [Position(epoch, 0)]
        self.history: dict[tuple[int, int], tuple[Digest, dict[str, str]]] = {(epoch, 0): (Digest(), {})}

    def change(self, key: str, text: str | None) -> None:
        digest = changed(self.records, self.positions[-1].digest, (key, text))
        self.changes.append((key, text))
        self.positions.append(Position(self.epoch, len(self.changes), digest))
        self.history[self.epoch, len(self.changes)] = digest, dict(self.records)

    def begin_epoch(self) -> None:
        """Begin anew with the present content."""
        self.epoch += 1
        self.changes = []
        self.kept_from = 0
        self.positions = [Position(self.epoch, 0, self.positions[-1].digest)]
        self.history[self.epoch, 0] = self.positions[0].digest, dict(self.records)

    def position(self) -> Position:
        return self.positions[-1]

    def counts(self) -> dict[str, int]:
        return {"records": len(self.records)}

    def pending(self, position: Position) -> int:
        self._known(position)
        return sum(len(json.dumps(change)) + 1 for change in self.changes[position.seq :])

    def _known(self, position: Position) -> None:
        if position.epoch != self.epoch or not self.kept_from <= position.seq < len(self.positions):
            raise InputError(f"the changes after {position} are not kept")
        if position != self.positions[position.seq]:
            raise InputError(f"there never was {position}")

    def after(self, position: Position, most_bytes: int) -> Cut | None:
        self._known(position)
        seq = position.seq
        until, size = seq, 0
        while until < len(self.changes):
            size += len(json.dumps(self.changes[until])) + 1
            if until > seq and size > most_bytes:
                break
            until += 1
        if until == seq:
            return None
        part = self.changes[seq:until]
        return Cut(
            Kind.INCREMENT, position, self.positions[until], {MEMBER: lambda: lines(part)}, {"changes": len(part)}
        )

    def snapshot(self) -> Cut:
        whole: list[Change] = sorted(self.records.items())
        counts = {"changes": len(whole)}
        return Cut(Kind.SNAPSHOT, Position(self.epoch, 0), self.position(), {MEMBER: lambda: lines(whole)}, counts)


def applied_to(records: dict[str, str], digest: Digest, bundle: Delivery) -> tuple[dict[str, str], int]:
    """Return what a bundle makes of `records`. Raises Diverged, Corrupt."""
    snapshot = bundle.header.kind is Kind.SNAPSHOT
    after = {} if snapshot else dict(records)
    total, count = Digest() if snapshot else digest, 0
    try:
        for line in b"".join(bundle.read(MEMBER)).splitlines():
            key, text = json.loads(line)
            total = changed(after, total, (key, text))
            count += 1
    except (ValueError, TypeError) as error:
        raise Corrupt(f"{MEMBER} holds no changes") from error
    if total != bundle.header.until.digest:
        raise Diverged(f"the content is {total}, not {bundle.header.until}", "have a snapshot sent")
    return after, count


class DictTarget:
    """A target in memory."""

    def __init__(self) -> None:
        self.records: dict[str, str] = {}
        self.standing: Position | None = None
        self.past: dict[tuple[int, int], str] = {}
        self.before: Callable[[], None] = lambda: None

    def position(self, stream: str) -> Position | None:
        return self.standing

    def seen(self, stream: str, epoch: int, seq: int) -> str | None:
        return self.past.get((epoch, seq))

    def apply(self, bundle: Delivery) -> Applied:
        self.before()
        digest = self.standing.digest if self.standing else Digest()
        self.records, count = applied_to(self.records, digest, bundle)
        self.standing = bundle.header.until
        self.past[self.standing.order] = str(self.standing.digest)
        return Applied(self.standing, count)


class StoreTarget:
    """A target in a SQLite file, for processes that are killed."""

    def __init__(self, store: Store) -> None:
        self._store = store
        steps = ("CREATE TABLE told (epoch INTEGER, seq INTEGER, digest TEXT, records TEXT)",)
        store.migrate("told", steps)

    def _rows(self) -> list[tuple[Position, dict[str, str]]]:
        return [
            (Position(row["epoch"], row["seq"], Digest.of_hex(row["digest"])), json.loads(row["records"]))
            for row in self._store.rows("SELECT * FROM told ORDER BY epoch, seq")
        ]

    @property
    def records(self) -> dict[str, str]:
        rows = self._rows()
        return rows[-1][1] if rows else {}

    def position(self, stream: str) -> Position | None:
        rows = self._rows()
        return rows[-1][0] if rows else None

    def seen(self, stream: str, epoch: int, seq: int) -> str | None:
        return {position.order: str(position.digest) for position, _ in self._rows()}.get((epoch, seq))

    def apply(self, bundle: Delivery) -> Applied:
        standing, until = self.position(""), bundle.header.until
        records, count = applied_to(self.records, standing.digest if standing else Digest(), bundle)
        with self._store.transaction() as connection:
            connection.execute(
                "INSERT INTO told VALUES (?, ?, ?, ?)",
                (until.epoch, until.seq, str(until.digest), json.dumps(records)),
            )
        return Applied(until, count)


def copy_files(source: Path, target: Path) -> None:
    """Copy what lies in one gate folder to another, as a gatekeeper that works well does."""
    for file in sorted(source.iterdir()):
        if not file.name.startswith("."):
            (target / file.name).write_bytes(file.read_bytes())
