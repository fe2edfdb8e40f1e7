"""The devices that a sync server knows, how they come to be known, and the rules that say what they get.

A device is invited by name with tags such as its place or duty; the invitation is a token that works once and not
for long, of which only the hash is kept. Enrolling with it binds the device's public key. A rule grants galleries
(patterns as in a shell) to every device that has all of its tags; a device that no rule matches gets nothing.
"""

from __future__ import annotations

import enum
import fnmatch
import hashlib
import json
import re
import secrets
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from isthmus.core.errors import InputError, Refused, UnknownName
from isthmus.core.ports import Clock
from isthmus.gallery import enrolment
from isthmus.gallery.sync.messages import Act
from isthmus.gallery.sync.mode import Mode
from isthmus.state.audit import Audit
from isthmus.state.store import Store
from isthmus.transfer.signing import PublicKey

_STEPS = (
    """CREATE TABLE device (
        name TEXT PRIMARY KEY, tags TEXT NOT NULL, state TEXT NOT NULL, key TEXT,
        token BLOB, expires TEXT, invited TEXT NOT NULL, enrolled TEXT, seen TEXT
    );
    CREATE TABLE device_rule (
        number INTEGER PRIMARY KEY AUTOINCREMENT, tags TEXT NOT NULL, galleries TEXT NOT NULL, mode TEXT NOT NULL
    );
    CREATE TABLE device_revoked (key TEXT PRIMARY KEY, device TEXT NOT NULL, at TEXT NOT NULL);
    CREATE TABLE device_told (device TEXT NOT NULL, queue BLOB NOT NULL, upto INTEGER NOT NULL,
        PRIMARY KEY (device, queue))""",
    """CREATE TABLE device_reached (device TEXT NOT NULL, gallery TEXT NOT NULL, change INTEGER NOT NULL,
        at TEXT NOT NULL, PRIMARY KEY (device, gallery)) WITHOUT ROWID""",
)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
_TOKEN_BYTES = 24


class DeviceState(enum.Enum):
    """Where a device stands."""

    INVITED = "invited"
    ENROLLED = "enrolled"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True)
class Device:
    """A device as the server knows it. `seen` is when it last came to synchronise."""

    name: str
    tags: frozenset[str]
    state: DeviceState
    key: PublicKey | None
    invited: datetime
    enrolled: datetime | None
    seen: datetime | None


@dataclass(frozen=True, slots=True)
class Rule:
    """Grants the galleries that a pattern matches to all devices that have all tags."""

    number: int
    tags: frozenset[str]
    galleries: tuple[str, ...]
    mode: Mode


@dataclass(frozen=True, slots=True)
class Reached:
    """How far a device is in a gallery: at which of its changes it stood, and when it had come there."""

    gallery: str
    change: int
    at: datetime


class Devices:
    """The registry, in the site's state file. It is the sync sessions' policy (gallery.sync.ports.Policy)."""

    def __init__(self, store: Store, clock: Clock, audit: Audit) -> None:
        self._store, self._clock, self._audit = store, clock, audit
        store.migrate("devices", _STEPS)

    def invite(self, name: str, tags: Iterable[str], *, by: str, valid: timedelta = timedelta(days=1)) -> str:
        """Invite a device; returns the token it enrols with, which is shown here only.

        A device that is only invited, or was revoked, may be invited anew. Raises InputError where one of this
        name is enrolled.
        """
        if not _NAME.fullmatch(name):
            raise InputError(f"{name!r} is no name of a device", "use letters, digits, _ . and -")
        token = secrets.token_urlsafe(_TOKEN_BYTES)
        now = self._clock.now()
        with self._store.transaction() as connection:
            row = connection.execute("SELECT state FROM device WHERE name = ?", (name,)).fetchone()
            if row is not None and row["state"] == DeviceState.ENROLLED.value:
                raise InputError(
                    f"the device {name} is enrolled already", "revoke it first, or choose another name"
                )
            connection.execute(
                "REPLACE INTO device VALUES (?, ?, ?, NULL, ?, ?, ?, NULL, NULL)",
                (
                    name,
                    _written(tags),
                    DeviceState.INVITED.value,
                    _hashed(token),
                    (now + valid).isoformat(),
                    now.isoformat(),
                ),
            )
            connection.execute("DELETE FROM device_reached WHERE device = ?", (name,))
            self._audit.note(by, "device invited", subject=name, detail=_written(tags), connection=connection)
        return token

    def enrol(self, token: str, key: PublicKey) -> Device:
        """Enrol the device that a token was made for. Raises Refused where it is unknown, used or too old."""
        now = self._clock.now()
        with self._store.transaction() as connection:
            row = connection.execute("SELECT * FROM device WHERE token = ?", (_hashed(token),)).fetchone()
            if row is None or row["state"] != DeviceState.INVITED.value:
                raise Refused("this invitation is not known or was used already", "ask for a new one")
            if now >= datetime.fromisoformat(row["expires"]):
                raise Refused(f"the invitation of {row['name']} has expired", "ask for a new one")
            taken = "SELECT key FROM device WHERE key = ? UNION SELECT key FROM device_revoked WHERE key = ?"
            if connection.execute(taken, (str(key), str(key))).fetchone():
                raise Refused("this key is another device's or was revoked", "make a new key pair on the device")
            connection.execute(
                "UPDATE device SET state = ?, key = ?, token = NULL, expires = NULL, enrolled = ? WHERE name = ?",
                (DeviceState.ENROLLED.value, str(key), now.isoformat(), row["name"]),
            )
            self._audit.note(
                row["name"], "device enrolled", subject=row["name"], detail=key.fingerprint, connection=connection
            )
        return self.get(row["name"])

    def answer(self, body: bytes, server: PublicKey) -> bytes:
        """Answer the body of an enrolment request. Raises Refused."""
        token, key = enrolment.of_request(body)
        return enrolment.answer(self.enrol(token, key).name, server)

    def revoke(self, name: str, *, by: str) -> None:
        """Take a device's rights away, for good: its key is never accepted again. Raises UnknownName."""
        device = self.get(name)
        with self._store.transaction() as connection:
            connection.execute(
                "UPDATE device SET state = ?, token = NULL WHERE name = ?", (DeviceState.REVOKED.value, name)
            )
            detail = device.key.fingerprint if device.key else ""
            if device.key is not None:
                revoked = (str(device.key), name, self._clock.now().isoformat())
                connection.execute("INSERT OR IGNORE INTO device_revoked VALUES (?, ?, ?)", revoked)
            self._audit.note(by, "device revoked", subject=name, detail=detail, connection=connection)

    def tag(self, name: str, tags: Iterable[str], *, by: str) -> None:
        """Give a device other tags. Raises UnknownName."""
        self.get(name)
        with self._store.transaction() as connection:
            connection.execute("UPDATE device SET tags = ? WHERE name = ?", (_written(tags), name))
            self._audit.note(by, "device tagged", subject=name, detail=_written(tags), connection=connection)

    def get(self, name: str) -> Device:
        """Return a device. Raises UnknownName."""
        rows = self._store.rows("SELECT * FROM device WHERE name = ?", (name,))
        if not rows:
            names = [row["name"] for row in self._store.rows("SELECT name FROM device")]
            raise UnknownName.among("device", name, names)
        return _device(rows[0])

    def list(self) -> Sequence[Device]:
        """List all devices by name."""
        return [_device(row) for row in self._store.rows("SELECT * FROM device ORDER BY name")]

    def known(self, name: str) -> PublicKey | None:
        """Return the key of an enrolled device; None for one that is unknown, only invited, or revoked."""
        rows = self._store.rows(
            "SELECT key FROM device WHERE name = ? AND state = ?", (name, DeviceState.ENROLLED.value)
        )
        return PublicKey.of_text(rows[0]["key"]) if rows else None

    def require(self, name: str, key: PublicKey) -> None:
        """Raise Refused unless a device is enrolled with this very key: it may be another of its name by now."""
        if self.known(name) != key:
            raise Refused(f"the device {name} was revoked", "enrol it anew")

    # --- rules --------------------------------------------------------------------------------------------------

    def grant(self, tags: Iterable[str], galleries: Iterable[str], mode: Mode, *, by: str) -> Rule:
        """Add a rule; one without tags is for every device."""
        patterns = sorted(set(galleries))
        if not patterns:
            raise InputError("a rule needs at least one pattern of galleries", "'*' is all of them")
        with self._store.transaction() as connection:
            cursor = connection.execute(
                "INSERT INTO device_rule (tags, galleries, mode) VALUES (?, ?, ?)",
                (_written(tags), json.dumps(patterns), mode.value),
            )
            detail = f"{_written(tags)}: {' '.join(patterns)} as {mode.value}"
            self._audit.note(by, "rule added", subject=str(cursor.lastrowid), detail=detail, connection=connection)
        return self.rules()[-1]

    def withdraw(self, number: int, *, by: str) -> None:
        """Remove a rule: what only it granted is deleted on the devices when they next synchronise."""
        with self._store.transaction() as connection:
            if not connection.execute("DELETE FROM device_rule WHERE number = ?", (number,)).rowcount:
                raise InputError(f"there is no rule {number}", "list the rules")
            self._audit.note(by, "rule removed", subject=str(number), connection=connection)

    def rules(self) -> Sequence[Rule]:
        """List the rules by number."""
        return [
            Rule(
                row["number"],
                frozenset(json.loads(row["tags"])),
                tuple(json.loads(row["galleries"])),
                Mode(row["mode"]),
            )
            for row in self._store.rows("SELECT * FROM device_rule ORDER BY number")
        ]

    def allowed(self, device: str, galleries: Iterable[str]) -> Mapping[str, Mode]:
        """Return which of the galleries a device gets. Raises Refused where it is not enrolled."""
        if self.known(device) is None:
            raise Refused(f"the device {device} is not enrolled, or was revoked")
        return granted(self.get(device).tags, self.rules(), galleries)

    def note(self, device: str, queue: bytes, acts: Sequence[Act]) -> int:
        """Write a device's acts into the audit log, each number of a queue once; returns the last number noted."""
        with self._store.transaction() as connection:
            upto = self._upto(connection, device, queue)
            for act in sorted(acts, key=lambda act: act.number):
                if act.number <= upto:
                    continue
                detail = f"{act.at}: {act.detail}"
                self._audit.note(device, act.act, act.gallery, act.subject, detail, connection=connection)
                upto = act.number
            connection.execute("REPLACE INTO device_told VALUES (?, ?, ?)", (device, queue, upto))
        return upto

    def seen(self, device: str) -> None:
        """Remember that a device has greeted just now."""
        with self._store.transaction() as connection:
            now = self._clock.now().isoformat()
            connection.execute("UPDATE device SET seen = ? WHERE name = ?", (now, device))

    def reached(self, device: str, changes: Mapping[str, int], dropped: Iterable[str] = ()) -> None:
        """Remember at which change of galleries a device stands now, and which it has to delete."""
        known = {one.gallery: one.change for one in self.standing(device)}
        gone = [gallery for gallery in dropped if gallery in known]
        new = [(gallery, change) for gallery, change in changes.items() if known.get(gallery) != change]
        if not new and not gone:
            return
        now = self._clock.now().isoformat()
        with self._store.transaction() as connection:
            connection.executemany(
                "DELETE FROM device_reached WHERE device = ? AND gallery = ?", [(device, one) for one in gone]
            )
            connection.executemany(
                "REPLACE INTO device_reached VALUES (?, ?, ?, ?)", [(device, *one, now) for one in new]
            )

    def standing(self, device: str) -> Sequence[Reached]:
        """Tell how far a device is known to be in each gallery that it has, by name."""
        rows = self._store.rows("SELECT * FROM device_reached WHERE device = ? ORDER BY gallery", (device,))
        return [Reached(row["gallery"], row["change"], datetime.fromisoformat(row["at"])) for row in rows]

    def _upto(self, connection: sqlite3.Connection, device: str, queue: bytes) -> int:
        row = connection.execute(
            "SELECT upto FROM device_told WHERE device = ? AND queue = ?", (device, queue)
        ).fetchone()
        return row["upto"] if row else 0


def granted(tags: frozenset[str], rules: Iterable[Rule], galleries: Iterable[str]) -> dict[str, Mode]:
    """Apply rules to a device's tags: what is granted of which gallery."""
    applying = [rule for rule in rules if rule.tags <= tags]
    found: dict[str, Mode] = {}
    for gallery in galleries:
        for rule in applying:
            if any(fnmatch.fnmatchcase(gallery, pattern) for pattern in rule.galleries):
                found[gallery] = found[gallery].joined(rule.mode) if gallery in found else rule.mode
    return found


def _device(row: sqlite3.Row) -> Device:
    return Device(
        row["name"],
        frozenset(json.loads(row["tags"])),
        DeviceState(row["state"]),
        PublicKey.of_text(row["key"]) if row["key"] else None,
        datetime.fromisoformat(row["invited"]),
        datetime.fromisoformat(row["enrolled"]) if row["enrolled"] else None,
        datetime.fromisoformat(row["seen"]) if row["seen"] else None,
    )


def _written(tags: Iterable[str]) -> str:
    found = sorted(set(tags))
    for tag in found:
        if not _NAME.fullmatch(tag):
            raise InputError(f"{tag!r} is no tag", "use letters, digits, _ . and -")
    return json.dumps(found)


def _hashed(token: str) -> bytes:
    # the token is 24 random bytes: a plain hash cannot be reversed by guessing
    return hashlib.blake2b(token.encode(), digest_size=32).digest()
