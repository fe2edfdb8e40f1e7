"""Who may do what at a site, over one SQLite file: people, keys, sessions, the audit log, and logging in.

Logging in has two halves with the slow one, the password's hash, between them and outside of any transaction:
`begin` judges whether a try is allowed at all and counts it as failed already, so that many tries at the same
time are not cheaper than one after the other; `conclude` says how it went.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, field
from pathlib import Path

from isthmus.app.people.keyring import Keyring, digest_of
from isthmus.app.people.person import Person
from isthmus.app.people.register import Register
from isthmus.app.people.rules import Lasting, name_of
from isthmus.app.people.sessions import Sessions
from isthmus.app.people.tables import STEPS, seconds
from isthmus.app.people.trail import Actor, Trail
from isthmus.app.people.waits import FORGOTTEN_S, OF_A_NAME, OF_AN_ADDRESS, Tries, Waits, network_of
from isthmus.core.errors import InputError
from isthmus.core.ports import Clock
from isthmus.state.store import Store

_KNOWN_S = 30 * 86_400.0
_MOST_KNOWN = 20
NOBODY = "nobody"
UNKNOWN = "an unknown name"


@dataclass(frozen=True, slots=True)
class Wait:
    """No try is allowed yet: come again after so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Trial:
    """One try to log in that was allowed and counted. `stored` is empty where there is no such person."""

    name: str
    where: str
    counted: tuple[str, ...] = field(repr=False)
    stored: str = field(repr=False)


class Access:
    """One site's people file. Belongs to the thread that opened it, as its Store does."""

    def __init__(self, file: Path, clock: Clock, lasting: Lasting | None = None) -> None:
        """Open or make the file. Raises what Store raises."""
        self._store, self._clock = Store(file), clock
        self._store.migrate("people", STEPS)
        self.trail = Trail(self._store, clock)
        self.people = Register(self._store, clock, self.trail)
        self.keys = Keyring(self._store, clock, self.trail)
        self.sessions = Sessions(self._store, clock, lasting or Lasting())

    def anybody(self) -> bool:
        """Tell whether a person or a key exists that something could be opened by."""
        return bool(self._store.rows("SELECT 1 FROM person LIMIT 1")) or self.keys.opening() > 0

    def begin(self, name: str, where: str) -> Trial | Wait:
        """Allow a try to log in, or tell how long to wait. A try that must wait is not counted."""
        named, now = _lenient(name), seconds(self._clock)
        with self._store.transaction() as own:
            own.execute("DELETE FROM tries WHERE last < ?", (now - FORGOTTEN_S,))
            kept = _counted(own, named, where, now)
            tries = {subject: _tries(own, subject) for subject, _ in kept}
            left = max(waits.left(tries[subject], now) for subject, waits in kept)
            for subject, found in tries.items():
                # where nothing is counted only a clock that was set back is taken in
                _write(own, subject, found.at(now) if left else found.failed(now))
            if left:
                return Wait(left)
            row = own.execute("SELECT password FROM person WHERE name = ?", (named,)).fetchone()
        return Trial(named if row else "", where, tuple(tries), row["password"] if row else "")

    def conclude(self, trial: Trial, fits: bool, anew: str = "", before: str = "") -> str:
        """End a try: returns the token of a new session, empty where the login failed.

        `anew` is the password's hash by today's parameters where the stored one is older. `before` is the token
        that the browser held: that session ends.
        """
        now = seconds(self._clock)
        with self._store.transaction() as own:
            row = own.execute("SELECT password, role FROM person WHERE name = ?", (trial.name,)).fetchone()
            if not fits or row is None or row["password"] != trial.stored:  # it may have changed meanwhile
                waits = [kind.after(_tries(own, subject).failures) for subject, kind in _kinds(trial.counted)]
                wait = f"; next try in {max(waits):.0f} s" if max(waits) else ""
                by, subject = Actor(NOBODY, trial.where), trial.name or UNKNOWN
                self.trail.note(by, "login", subject, f"failed{wait}", connection=own)
                return ""
            by_name, by_address = trial.counted
            own.execute("DELETE FROM tries WHERE subject = ?", (by_name,))
            own.execute("UPDATE tries SET failures = max(failures - 1, 0) WHERE subject = ?", (by_address,))
            own.execute(
                "UPDATE person SET seen = ?, password = ? WHERE name = ?", (now, anew or trial.stored, trial.name)
            )
            _know(own, trial.name, network_of(trial.where), now)
            token = self.sessions.begin(trial.name, trial.where, before, own)
            self.trail.note(Actor(trial.name, trial.where), "login", trial.name, connection=own)
        return token

    def enter(self, name: str, where: str) -> str:
        """Begin a session for who has just proved who they are; returns its token. Raises UnknownName."""
        name = self.people.member(name).name
        with self._store.transaction() as own:
            return self.sessions.begin(name, where, "", own)

    def log_out(self, token: str, where: str) -> None:
        """End a session; nothing happens where it has ended."""
        person = self.sessions.person(token)
        if person is None:
            return
        with self._store.transaction() as own:
            self.sessions.end(token, own)
            self.trail.note(Actor(person.name, where), "logout", person.name, connection=own)

    def end_sessions(self, name: str, by: Actor) -> int:
        """End every session of a person, as after a lost tablet; returns how many. Raises UnknownName."""
        name = self.people.member(name).name
        with self._store.transaction() as own:
            ended = self.sessions.end_all(name, own)
            self.trail.note(by, "user logout", name, f"done: {ended} sessions", connection=own)
        return ended

    def who(self, key: str, token: str) -> Person | None:
        """Return who asks, by a key where one is shown, else by a session."""
        return self.keys.person(key) if key else self.sessions.person(token)

    def close(self) -> None:
        """Close the file."""
        self._store.close()

    def __enter__(self) -> Access:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def somebody_known(file: Path, clock: Clock) -> bool:
    """Tell whether a site's people file names anybody; it is not made where it is not there."""
    if not file.exists():
        return False
    with Access(file, clock) as access:
        return access.anybody()


def actor_of(person: Person, where: str) -> Actor:
    """Return a person or a key as the audit log names them: a key as `key:NAME`."""
    return Actor(person.name if person.by == "session" else f"key:{person.name}", where)


def _lenient(name: str) -> str:
    """Return a name as it would be stored; all that can be no name count as the same one."""
    try:
        return name_of(name)
    except InputError:
        return ""


def _counted(own: sqlite3.Connection, name: str, where: str, now: float) -> list[tuple[str, Waits]]:
    """Return what a try is counted under: the name, and the address.

    Who logged in from the same network lately has a count of their own there, so that a stranger who tries their
    name again and again elsewhere cannot lock them out.
    """
    network = network_of(where)
    row = own.execute("SELECT last FROM known_from WHERE name = ? AND address = ?", (name, network)).fetchone()
    known = row is not None and now - row["last"] < _KNOWN_S
    by_name = digest_of(f"name {name} {network if known else ''}")
    return [(f"n{by_name}", OF_A_NAME), (f"a{digest_of(network)}", OF_AN_ADDRESS)]


def _kinds(subjects: tuple[str, ...]) -> list[tuple[str, Waits]]:
    return list(zip(subjects, (OF_A_NAME, OF_AN_ADDRESS), strict=True))


def _tries(own: sqlite3.Connection, subject: str) -> Tries:
    row = own.execute("SELECT failures, last FROM tries WHERE subject = ?", (subject,)).fetchone()
    return Tries(row["failures"], row["last"]) if row else Tries()


def _write(own: sqlite3.Connection, subject: str, tries: Tries) -> None:
    own.execute("REPLACE INTO tries VALUES (?, ?, ?)", (subject, tries.failures, tries.last))


def _know(own: sqlite3.Connection, name: str, network: str, now: float) -> None:
    own.execute("REPLACE INTO known_from VALUES (?, ?, ?)", (name, network, now))
    own.execute(
        "DELETE FROM known_from WHERE name = ? AND address NOT IN "
        "(SELECT address FROM known_from WHERE name = ? ORDER BY last DESC LIMIT ?)",
        (name, name, _MOST_KNOWN),
    )
