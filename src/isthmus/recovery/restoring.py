"""What the standby writes down: where the stream stands, its restore rounds, and what is being published.

A publication is written down whole before the first of its files is placed, so a crash loses nothing of it: it is
finished, or taken back, from these rows and from the staged contents alone.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from isthmus.core.digest import Digest
from isthmus.core.errors import Corrupt, InputError
from isthmus.core.header import Header
from isthmus.core.position import Position
from isthmus.recovery.barrier import Change, Named, named_of, texts_of
from isthmus.recovery.pace import Pace, rate_of
from isthmus.recovery.part import Index
from isthmus.recovery.states import RESTORE
from isthmus.state.store import Store

KEPT_ROUNDS = 256
KEPT_POSITIONS = 4096
_ENDED = ("CONFIRM", "FINISH", "DROPPED")
_MIGRATIONS = (
    """CREATE TABLE landing_standing (
        stream TEXT PRIMARY KEY, key BLOB NOT NULL, epoch INTEGER NOT NULL, seq INTEGER NOT NULL,
        digest TEXT NOT NULL, "full" INTEGER NOT NULL
    );
    CREATE TABLE landing_stood (
        stream TEXT, epoch INTEGER, seq INTEGER, digest TEXT NOT NULL, PRIMARY KEY (stream, epoch, seq)
    );
    CREATE TABLE landing_round (
        number INTEGER PRIMARY KEY AUTOINCREMENT, stream TEXT NOT NULL, key TEXT NOT NULL, prior TEXT NOT NULL,
        state TEXT NOT NULL, "full" INTEGER NOT NULL, event TEXT NOT NULL, parts INTEGER NOT NULL,
        bytes INTEGER NOT NULL, files INTEGER NOT NULL, first_seq INTEGER NOT NULL, last_seq INTEGER NOT NULL,
        times TEXT NOT NULL, error TEXT NOT NULL
    );
    CREATE TABLE landing_publication (
        number INTEGER PRIMARY KEY, header TEXT NOT NULL, change TEXT NOT NULL
    )""",
    "ALTER TABLE landing_round ADD COLUMN pace TEXT NOT NULL DEFAULT '{}'",
    "CREATE TABLE landing_named (publications TEXT NOT NULL)",
)


@dataclass(frozen=True, slots=True)
class Landed:
    """A restore round. `prior` is empty for a full one, and until its last part has come.

    `parts`, `bytes` and `files` (pieces of contents) are what has come of it so far, `first_seq` and `last_seq`
    the seqs of its parts; `times` tells when it came into each state. `pace` tells of `received` and `unpacked`
    how many bytes of contents were, and in how many seconds of work; parts whose time nobody took are not in it.
    """

    number: int
    key: str
    prior: str
    state: str
    full: bool
    event: str
    parts: int
    bytes: int
    files: int
    first_seq: int
    last_seq: int
    times: Mapping[str, datetime]
    error: str
    pace: Pace = field(default_factory=dict)

    def rate(self, what: str) -> float:
        """Return how fast contents were `received` or `unpacked`, in bytes a second; 0 where nobody knows."""
        return rate_of(self.pace, what)

    @property
    def shown_rate(self) -> float:
        """How fast a shown round was proven, placed and shown, in bytes a second; 0 for any other."""
        begin, end = self.times.get("VERIFY"), self.times.get("CONFIRM")
        seconds = (end - begin).total_seconds() if begin and end else 0.0
        return self.bytes / seconds if seconds > 0 else 0.0

    @property
    def begun(self) -> datetime | None:
        """When its first part came."""
        return self.times.get("RECEIVED")

    @property
    def ended(self) -> datetime | None:
        """When it was shown, or given up; None while it is under way."""
        return (self.times.get("CONFIRM") or self.times.get(self.state)) if self.state in _ENDED else None


@dataclass(frozen=True, slots=True)
class Publication:
    """What is being published: the round's number, the header of its last part, and the change of barrier."""

    number: int
    header: Header
    change: Change


class Restoring:
    """The rows of the restore rounds of a site."""

    def __init__(self, store: Store) -> None:
        store.migrate("recovery restoring", _MIGRATIONS)
        self._store = store

    def position(self, stream: str) -> Position | None:
        """Return where a stream stands; None before its first part."""
        rows = self._store.rows("SELECT * FROM landing_standing WHERE stream IN (?, '')", (stream,))
        return Position(rows[0]["epoch"], rows[0]["seq"], Digest.of_hex(rows[0]["digest"])) if rows else None

    def key(self, stream: str) -> bytes | None:
        """Return the key of a stream's digests; None where it is not known yet."""
        rows = self._store.rows("SELECT key FROM landing_standing WHERE stream IN (?, '')", (stream,))
        return bytes(rows[0]["key"]) if rows and rows[0]["key"] else None

    def full(self, stream: str) -> bool:
        """Tell whether the parts that come rebuild everything from nothing."""
        rows = self._store.rows("SELECT \"full\" FROM landing_standing WHERE stream IN (?, '')", (stream,))
        return not rows or bool(rows[0]["full"])

    def seen(self, stream: str, epoch: int, seq: int) -> str | None:
        """Return the digest that a stream had at a position; None where that is not known."""
        rows = self._store.rows(
            "SELECT digest FROM landing_stood WHERE stream = ? AND epoch = ? AND seq = ?", (stream, epoch, seq)
        )
        return rows[0]["digest"] if rows else None

    def stand(
        self, connection: sqlite3.Connection, stream: str, key: bytes, position: Position, *, full: bool
    ) -> None:
        """Write down, in an open transaction, where a stream stands."""
        at = (stream, *position.order, str(position.digest))
        connection.execute("DELETE FROM landing_standing WHERE stream = ''")
        connection.execute(
            "REPLACE INTO landing_standing VALUES (?, ?, ?, ?, ?, ?)", (stream, key, *at[1:], int(full))
        )
        connection.execute("REPLACE INTO landing_stood VALUES (?, ?, ?, ?)", at)
        connection.execute(
            "DELETE FROM landing_stood WHERE stream = ? AND (epoch < ? OR epoch = ? AND seq <= ?)",
            (stream, position.epoch - 1, position.epoch, position.seq - KEPT_POSITIONS),
        )

    @staticmethod
    def stand_anew(connection: sqlite3.Connection, position: Position) -> None:
        """Forget, in an open transaction, where streams stood: whichever comes next stands at a position.

        What the rounds until now were for is over: a round of the site's own may bear the key of the last of them.
        """
        connection.execute("UPDATE landing_round SET event = ''")
        connection.execute("DELETE FROM landing_standing")
        connection.execute(
            "INSERT INTO landing_standing VALUES ('', x'', ?, ?, ?, 0)", (*position.order, str(position.digest))
        )

    def rounds(self) -> list[Landed]:
        """List the rounds that are remembered, in the order in which they began."""
        return [_landed(row) for row in self._store.rows("SELECT * FROM landing_round ORDER BY number")]

    def under_way(self) -> list[Landed]:
        """List the rounds that are neither shown nor given up."""
        return [row for row in self.rounds() if row.state not in _ENDED]

    def between(self) -> bool:
        """Tell whether parts of a round have come, or a full round has begun."""
        return bool(self._store.rows('SELECT 1 FROM landing_standing WHERE "full"') or self.under_way())

    def expected(self, index: Index, seq: int) -> None:
        """Raise Corrupt where a part is not the next of the round under way, nor the first of another.

        The last part of a round comes again where a crash cut its publication short.
        """
        going = self._going(index.key)
        come = going.parts if going else 0
        again = going is not None and (index.number, seq) == (come, going.last_seq)
        if index.number not in (1, come + 1) and not again:
            raise Corrupt(
                f"part {index.number} of round {index.key} does not follow its part {come}", "ask for a full round"
            )

    def received(
        self,
        connection: sqlite3.Connection,
        index: Index,
        header: Header,
        size: int,
        now: datetime,
        *,
        full: bool,
        pace: Pace | None = None,
    ) -> int:
        """Write down, in an open transaction, that a part came, and how fast; return the round's number."""
        going, seq = self._going(index.key), header.until.seq
        if going is not None and index.number == going.parts + 1:
            connection.execute(
                "UPDATE landing_round SET parts = ?, bytes = bytes + ?, files = files + ?, last_seq = ?, pace = ?"
                " WHERE number = ?",
                (index.number, size, len(index.pieces), seq, _summed(going.pace, pace or {}), going.number),
            )
            return going.number
        if going is not None and index.number == going.parts and seq == going.last_seq:
            return going.number  # its last part again, after a crash
        self.dropped(connection, now)
        values = (header.stream, index.key, "RECEIVED", int(full), size, len(index.pieces), seq, seq)
        number = connection.execute(
            'INSERT INTO landing_round (stream, key, prior, state, "full", event, parts, bytes, files, first_seq,'
            " last_seq, times, error, pace) VALUES (?, ?, '', ?, ?, '', 1, ?, ?, ?, ?, ?, '', ?)",
            (*values, json.dumps({"RECEIVED": now.isoformat()}), _summed({}, pace or {})),
        ).lastrowid
        connection.execute("DELETE FROM landing_round WHERE number <= ?", ((number or 0) - KEPT_ROUNDS,))
        return int(number or 0)

    def went(
        self, connection: sqlite3.Connection, number: int, what: str, now: datetime, error: str = "", **facts: Any
    ) -> None:
        """Take a round to its next state, in an open transaction. `facts`: `prior` and `event` of its change."""
        row = connection.execute("SELECT * FROM landing_round WHERE number = ?", (number,)).fetchone()
        state = RESTORE.next(row["state"], what)
        times = json.loads(row["times"]) | {state: now.isoformat()}
        connection.execute(
            "UPDATE landing_round SET state = ?, times = ?, error = ?, prior = ?, event = ? WHERE number = ?",
            (
                state,
                json.dumps(times),
                error,
                facts.get("prior", row["prior"]),
                facts.get("event", row["event"]),
                number,
            ),
        )

    def verifying(self, connection: sqlite3.Connection, publication: Publication, now: datetime) -> None:
        """Write down, in an open transaction, that all parts of a round are there and are being verified."""
        row = connection.execute(
            "SELECT state FROM landing_round WHERE number = ?", (publication.number,)
        ).fetchone()
        change = publication.change
        if row["state"] == "RECEIVED":
            self.went(connection, publication.number, "complete", now, prior=change.prior, event=change.event)

    def fail(self, number: int, error: str) -> None:
        """Write down why a round does not go on."""
        with self._store.transaction() as connection:
            connection.execute("UPDATE landing_round SET error = ? WHERE number = ?", (error, number))

    def dropped(self, connection: sqlite3.Connection, now: datetime) -> None:
        """Give up, in an open transaction, the rounds whose parts have not all come."""
        for row in connection.execute("SELECT number, state FROM landing_round").fetchall():
            if row["state"] == "VERIFY":
                self.went(connection, row["number"], "damaged", now)
            if row["state"] in ("RECEIVED", "VERIFY"):
                self.went(connection, row["number"], "begun anew", now)

    def publication(self) -> Publication | None:
        """Return what is being published; None where nothing is."""
        rows = self._store.rows("SELECT * FROM landing_publication")
        if not rows:
            return None
        header = Header.of_json(json.loads(rows[0]["header"]))
        return Publication(rows[0]["number"], header, Change.of_json(json.loads(rows[0]["change"])))

    @staticmethod
    def publish(connection: sqlite3.Connection, publication: Publication) -> None:
        """Write down, in an open transaction, what is to be published."""
        header, change = publication.header.to_json(), publication.change.to_json()
        connection.execute(
            "REPLACE INTO landing_publication VALUES (?, ?, ?)",
            (publication.number, json.dumps(header), json.dumps(change)),
        )

    @staticmethod
    def published(connection: sqlite3.Connection) -> None:
        """Write down, in an open transaction, that nothing is being published any more."""
        connection.execute("DELETE FROM landing_publication")

    def named(self) -> Named | None:
        """Return the publications of the primary as the shown round told them; None where none told."""
        rows = self._store.rows("SELECT publications FROM landing_named")
        return named_of(json.loads(rows[0]["publications"])) if rows else None

    @staticmethod
    def name(connection: sqlite3.Connection, publications: Named | None) -> None:
        """Write down, in an open transaction, which publications the shown round told."""
        connection.execute("DELETE FROM landing_named")
        if publications is not None:
            connection.execute("INSERT INTO landing_named VALUES (?)", (json.dumps(texts_of(publications)),))

    def _going(self, key: str) -> Landed | None:
        return next((row for row in self.under_way() if row.key == key), None)


def change_of(raw: bytes) -> Change:
    """Read the change that a last part holds. Raises Corrupt."""
    try:
        return Change.of_json(json.loads(raw))
    except (ValueError, InputError, RecursionError) as error:
        raise Corrupt(f"the last part of a round holds no change of a barrier: {error}") from error


def index_of(raw: bytes) -> Index:
    """Read the index of a part. Raises Corrupt."""
    try:
        return Index.of_bytes(raw)
    except (ValueError, RecursionError) as error:
        raise Corrupt(f"a part of a round has no index that can be read: {error}") from error


def _summed(before: Pace, more: Pace) -> str:
    """Add what was done to what was done before; as JSON."""
    total = {what: before.get(what, (0, 0.0)) for what in {*before, *more}}
    for what, (size, seconds) in more.items():
        total[what] = total[what][0] + size, total[what][1] + seconds
    return json.dumps(total)


def _landed(row: sqlite3.Row) -> Landed:
    times = {state: datetime.fromisoformat(at) for state, at in json.loads(row["times"]).items()}
    pace = {what: (int(size), float(seconds)) for what, (size, seconds) in json.loads(row["pace"]).items()}
    apart = ("stream", "times", "full", "pace")
    named = {name: row[name] for name in row.keys() if name not in apart}  # noqa: SIM118
    return Landed(**named, full=bool(row["full"]), times=times, pace=pace)
