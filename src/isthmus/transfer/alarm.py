"""Alarms as state: raised once, with the time and what to do, and cleared when their cause is gone.

| kind | raised when | cleared when |
|---|---|---|
| GAP | changes are missing for longer than the set time | they came, or a snapshot did |
| SILENT | nothing new was heard from the sender for the set time | something new is heard |
| DISK | a disk, a folder or the line to the other side refused to read or write | the next round goes through |
| DIVERGED | applied changes gave another content than the sender's | the receiver stands past it |
| TRUNCATED | a file ends early and grows no more | a whole copy came, or the receiver stands past it |
| TAMPERED | a file is not what its signer made | an authentic copy of it came |
| UNKNOWN_KEY | a file is signed by a key that is not allowed | an authentic copy came, or it was dismissed |
| FORK | an authentic file contradicts what was applied or sent | an operator dismissed it |
| STALE | an authentic file is of an epoch that was ended | an operator dismissed it |
| REFUSED | a file cannot be used here | the receiver stands past it, or an operator dismissed it |
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from isthmus.state.store import Store

_STEPS = (
    """CREATE TABLE gate_alarm (
        side TEXT NOT NULL,
        stream TEXT NOT NULL,
        kind TEXT NOT NULL,
        about TEXT NOT NULL,
        what TEXT NOT NULL,
        since TEXT NOT NULL,
        PRIMARY KEY (side, stream, kind, about)
    )""",
)


class Kind(enum.Enum):
    """What an alarm is about; the value says what to do."""

    GAP = "carry the line of `isthmus gate request` to the sender, or ask it for a snapshot"
    FORK = "two histories of one stream exist: find out whether a second sender runs or an old backup was restored"
    TAMPERED = (
        "the file was changed on its way: look for the cause at the gatekeeper; a resent copy is still taken"
    )
    UNKNOWN_KEY = (
        "if the sender changed its key, allow the new one in the configuration; otherwise somebody else wrote it"
    )
    TRUNCATED = (
        "the gatekeeper cut the file off: let it copy again, or carry the line of `isthmus gate request` back"
    )
    STALE = "a sender that was replaced still sends, or old files were copied again: stop it, then dismiss this"
    SILENT = "see that the sender runs and that the gatekeeper copies"
    REFUSED = (
        "read the reason in the quarantine; correct it, dismiss this, and have the file or a snapshot sent again"
    )
    DIVERGED = "have a snapshot sent: carry the line of `isthmus gate request` to the sender"
    DISK = "make room, or mend the folder or the line; it goes on by itself then and nothing is lost"


@dataclass(frozen=True, slots=True)
class Alarm:
    """Something that a person has to know. `about` names the file, where it is about one."""

    kind: Kind
    stream: str
    what: str
    since: datetime
    about: str = ""

    @property
    def hint(self) -> str:
        """Say what to do."""
        return self.kind.value

    def to_json(self) -> dict[str, Any]:
        """Write the alarm as plain JSON values."""
        return {
            "kind": self.kind.name,
            "stream": self.stream,
            "what": self.what,
            "hint": self.hint,
            "since": self.since.isoformat(),
            "about": self.about,
        }


class Alarms:
    """The alarms of one side of one stream. A disk that refuses everything is remembered in memory, too."""

    def __init__(self, store: Store, side: str, stream: str) -> None:
        self._store, self._side, self._stream = store, side, stream
        self._disk: Alarm | None = None
        store.migrate("gate_alarm", _STEPS)

    def raised(self) -> list[Alarm]:
        """List the alarms, oldest first."""
        rows = self._store.rows(
            "SELECT * FROM gate_alarm WHERE side = ? AND stream = ? ORDER BY since, kind, about",
            (self._side, self._stream),
        )
        found = [
            Alarm(Kind[row["kind"]], self._stream, row["what"], datetime.fromisoformat(row["since"]), row["about"])
            for row in rows
        ]
        if self._disk is not None and all(alarm.kind is not Kind.DISK for alarm in found):
            found.append(self._disk)
        return found

    def raise_(self, kind: Kind, what: str, now: datetime, about: str = "") -> bool:
        """Raise an alarm; one that stands keeps its time and takes the new words. Tell whether it is new."""
        with self._store.transaction() as connection:
            told = connection.execute(
                "UPDATE gate_alarm SET what = ? WHERE side = ? AND stream = ? AND kind = ? AND about = ?",
                (what, self._side, self._stream, kind.name, about),
            )
            if told.rowcount:
                return False
            connection.execute(
                "INSERT INTO gate_alarm (side, stream, kind, about, what, since) VALUES (?, ?, ?, ?, ?, ?)",
                (self._side, self._stream, kind.name, about, what, now.isoformat()),
            )
        return True

    def raise_disk(self, error: OSError, now: datetime) -> bool:
        """Raise DISK, in memory alone where the disk does not take even that. Tell whether it is new."""
        new = all(alarm.kind is not Kind.DISK for alarm in self.raised())
        if new:
            self._disk = Alarm(Kind.DISK, self._stream, _told(error), now)
        try:
            self.raise_(Kind.DISK, _told(error), now)
        except OSError:
            return new  # the disk that is full is the one with the state: `_disk` tells it
        return new

    def dismiss(self, about: str) -> None:
        """Clear all alarms about a file."""
        with self._store.transaction() as connection:
            connection.execute(
                "DELETE FROM gate_alarm WHERE side = ? AND stream = ? AND about = ?",
                (self._side, self._stream, about),
            )

    def clear(self, kind: Kind, about: str | None = None) -> bool:
        """Clear the alarms of a kind (of one file where `about` says so). Tell whether any stood."""
        stood = [alarm for alarm in self.raised() if alarm.kind is kind and about in (None, alarm.about)]
        if kind is Kind.DISK:
            self._disk = None
        if stood:
            with self._store.transaction() as connection:
                connection.execute(
                    "DELETE FROM gate_alarm WHERE side = ? AND stream = ? AND kind = ?"
                    " AND about = coalesce(?, about)",
                    (self._side, self._stream, kind.name, about),
                )
        return bool(stood)


def _told(error: OSError) -> str:
    where = f" ({error.filename})" if error.filename else ""
    return f"{error.strerror or error}{where}"
