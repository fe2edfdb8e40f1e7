"""The audit log: who changed what, when, from where, and how it ended. Lines are only ever added.

Each line's digest is keyed by that of the line before (core.digest.record_hash), and the last one is kept aside:
a line that is removed, changed or put in between shows in `verify`, wherever it stood. Who can write the file can
also make a whole new log; against that, note the head elsewhere, and verify against it.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime

from isthmus.core.digest import HASH_BYTES, record_hash
from isthmus.core.errors import InputError
from isthmus.core.ports import Clock
from isthmus.state.store import Store

STEPS = (
    """CREATE TABLE trail (
        number INTEGER PRIMARY KEY,
        at TEXT NOT NULL,
        who TEXT NOT NULL,
        act TEXT NOT NULL,
        subject TEXT NOT NULL,
        outcome TEXT NOT NULL,
        address TEXT NOT NULL,
        digest BLOB NOT NULL
    );
    CREATE INDEX trail_by ON trail (who, number);
    CREATE INDEX trail_about ON trail (subject, number);
    CREATE TABLE trail_head (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        number INTEGER NOT NULL,
        digest BLOB NOT NULL
    )
    """,
)
_KEPT = {
    "trail_stays": "CREATE TRIGGER trail_stays BEFORE DELETE ON trail BEGIN "
    "SELECT RAISE(ABORT, 'the audit log is only added to'); END",
    "trail_holds": "CREATE TRIGGER trail_holds BEFORE UPDATE ON trail BEGIN "
    "SELECT RAISE(ABORT, 'the audit log is only added to'); END",
}
"""Against mistakes, not against who wants to. Not among the steps, which cannot hold a `;` within a statement."""
_MOST_SIGNS = 500
_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does something, and from where: an address, or a place such as `command line`."""

    who: str
    where: str


@dataclass(frozen=True, slots=True)
class Line:
    """One line. `digest` is 64 hexadecimal digits."""

    number: int
    at: datetime
    who: str
    act: str
    subject: str
    outcome: str
    where: str
    digest: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What verifying found: how many lines, the head as NUMBER:DIGEST, and what is wrong, one text each."""

    lines: int
    head: str
    faults: tuple[str, ...]


class Trail:
    """The audit log in a site's people file."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock
        store.migrate("trail", STEPS)
        there = {row["name"] for row in store.rows("SELECT name FROM sqlite_master WHERE type = 'trigger'")}
        if lacking := [sql for name, sql in _KEPT.items() if name not in there]:
            with store.transaction() as own:
                for sql in lacking:
                    own.execute(sql.replace("TRIGGER", "TRIGGER IF NOT EXISTS", 1))

    def note(
        self,
        by: Actor,
        act: str,
        subject: str,
        outcome: str = "done",
        *,
        connection: sqlite3.Connection | None = None,
    ) -> None:
        """Add a line: in the transaction of `connection` where one is given, else in its own."""
        if connection is None:
            with self._store.transaction() as own:
                self.note(by, act, subject, outcome, connection=own)
            return
        head = connection.execute("SELECT number, digest FROM trail_head").fetchone()
        number, before = (head["number"], head["digest"]) if head else (0, bytes(HASH_BYTES))
        texts = (self._clock.now().astimezone(UTC).isoformat(), by.who, act, subject, outcome, by.where)
        parts = tuple(_plain(text) for text in texts)
        digest = _digest(before, number + 1, parts)
        connection.execute("INSERT INTO trail VALUES (?, ?, ?, ?, ?, ?, ?, ?)", (number + 1, *parts, digest))
        connection.execute("REPLACE INTO trail_head VALUES (1, ?, ?)", (number + 1, digest))

    def after(self, number: int = 0, most: int = 100, who: str = "") -> list[Line]:
        """Return the lines after a number, oldest first; with `who` those by or about them."""
        return self._lines("number > ?", number, "ASC", most, who)

    def latest(self, before: int = 0, most: int = 100, who: str = "") -> list[Line]:
        """Return the lines before a number (0: the end), newest first; with `who` those by or about them."""
        return self._lines("number < ?", before or (1 << 62), "DESC", most, who)

    def verify(self, since: str = "") -> Verdict:
        """Follow the chain from the first line to the last.

        `since` is a head that was noted once, NUMBER:DIGEST: that line must still be there as it was. Raises
        InputError where it is none.
        """
        noted = _noted(since)
        faults: list[str] = []
        before, number, count = bytes(HASH_BYTES), 0, 0
        seen_noted = noted is None
        while rows := self._store.rows(
            "SELECT * FROM trail WHERE number > ? ORDER BY number LIMIT ?", (number, _AT_ONCE)
        ):
            for row in rows:
                missing = row["number"] - number - 1
                if missing > 0:
                    faults.append(_missing(number + 1, row["number"] - 1))
                parts = tuple(row[key] for key in ("at", "who", "act", "subject", "outcome", "address"))
                if not missing and _digest(before, row["number"], parts) != row["digest"]:
                    faults.append(f"line {row['number']} is not as it was written, or the one before it is not")
                if noted is not None and row["number"] == noted[0]:
                    seen_noted = True
                    if row["digest"].hex() != noted[1]:
                        faults.append(f"line {noted[0]} is another than the one that was noted: {since}")
                before, number, count = row["digest"], row["number"], count + 1
        head = self._store.rows("SELECT number, digest FROM trail_head")
        if head and head[0]["number"] > number:
            faults.append(_missing(number + 1, head[0]["number"]))
        elif head and (head[0]["number"], head[0]["digest"]) != (number, before):
            faults.append(f"the log should end with line {head[0]['number']}, and is longer or ends otherwise")
        elif not head and count:
            faults.append("what tells where the log ends is missing")
        if not seen_noted and noted is not None:
            faults.append(f"line {noted[0]}, which was noted, is missing")
        return Verdict(count, f"{number}:{before.hex()}", tuple(faults))

    def _lines(self, where: str, number: int, order: str, most: int, who: str) -> list[Line]:
        more, values = (" AND (who = ? OR subject = ?)", (number, who, who, most)) if who else ("", (number, most))
        sql = f"SELECT * FROM trail WHERE {where}{more} ORDER BY number {order} LIMIT ?"
        return [
            Line(
                row["number"],
                datetime.fromisoformat(row["at"]),
                row["who"],
                row["act"],
                row["subject"],
                row["outcome"],
                row["address"],
                row["digest"].hex(),
            )
            for row in self._store.rows(sql, values)
        ]


def _digest(before: bytes, number: int, parts: tuple[str, ...]) -> bytes:
    return record_hash(before, str(number).encode(), *(part.encode(errors="replace") for part in parts))


def _plain(text: str) -> str:
    """Return a text on one line, without signs that a terminal would obey, and not without end."""
    line = "".join(sign if sign.isprintable() else "�" for sign in text)
    return line if len(line) <= _MOST_SIGNS else line[: _MOST_SIGNS - 1] + "…"


def _missing(first: int, last: int) -> str:
    return f"line {first} is missing" if first == last else f"lines {first} to {last} are missing"


def _noted(since: str) -> tuple[int, str] | None:
    if not since:
        return None
    number, _, digest = since.partition(":")
    if not (number.isascii() and number.isdecimal() and len(number) < 19 and len(digest) == 2 * HASH_BYTES):
        raise InputError(f"{since!r} is no head of the audit log", "write NUMBER:DIGEST as verifying tells it")
    return int(number), digest.lower()
