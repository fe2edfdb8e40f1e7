"""Sessions of people: a random token in the browser, its digest here. A login always makes a new one.

A session ends by its age, by idleness, by logging out, by a change of the password, by the person's removal, and
where the clock was set back further than anybody could still tell how old it is.
"""

from __future__ import annotations

import secrets
import sqlite3

from isthmus.app.people.keyring import digest_of
from isthmus.app.people.person import Person, Role
from isthmus.app.people.rules import Lasting
from isthmus.app.people.tables import seconds
from isthmus.core.ports import Clock
from isthmus.state.store import Store

_TOKEN_BYTES = 32
_MOST_TEXT = 128
_MOST_OF_ONE = 20
"""The oldest session of a person ends where they begin more than this."""


class Sessions:
    """The sessions of a site."""

    def __init__(self, store: Store, clock: Clock, lasting: Lasting) -> None:
        self._store, self._clock, self.lasting = store, clock, lasting

    def begin(self, name: str, address: str, before: str, connection: sqlite3.Connection) -> str:
        """Begin a session in a transaction and return its token; what the browser had `before` ends."""
        now, token = seconds(self._clock), secrets.token_urlsafe(_TOKEN_BYTES)
        connection.execute("DELETE FROM session WHERE digest = ?", (digest_of(before),))
        connection.execute(
            "DELETE FROM session WHERE made <= ? OR seen <= ?",
            (now - self.lasting.age_s, now - self.lasting.idle_s),
        )
        connection.execute(
            "INSERT INTO session VALUES (?, ?, ?, ?, ?)", (digest_of(token), name, now, now, address)
        )
        connection.execute(
            "DELETE FROM session WHERE name = ? AND digest NOT IN "
            "(SELECT digest FROM session WHERE name = ? ORDER BY made DESC, rowid DESC LIMIT ?)",
            (name, name, _MOST_OF_ONE),
        )
        return token

    def person(self, token: str, *, quietly: bool = False) -> Person | None:
        """Return whose session a token is, with the role they have now; None where it has ended.

        `quietly` leaves it as idle as it was.
        """
        if not token or len(token) > _MOST_TEXT:
            return None
        digest, now = digest_of(token), seconds(self._clock)
        rows = self._store.rows(
            "SELECT s.made, s.seen, p.name, p.role FROM session s JOIN person p ON p.name = s.name "
            "WHERE s.digest = ?",
            (digest,),
        )
        if not rows:
            return None
        row = rows[0]
        if not self.lasting.alive(row["made"], row["seen"], now):
            with self._store.transaction() as own:
                own.execute("DELETE FROM session WHERE digest = ?", (digest,))
            return None
        if now - row["seen"] >= self.lasting.note_s and not quietly:
            with self._store.transaction() as own:
                own.execute("UPDATE session SET seen = max(seen, ?) WHERE digest = ?", (now, digest))
        return Person(row["name"], Role.of(row["role"]), "session")

    def end(self, token: str, connection: sqlite3.Connection) -> None:
        """End one session in a transaction."""
        connection.execute("DELETE FROM session WHERE digest = ?", (digest_of(token),))

    def end_all(self, name: str, connection: sqlite3.Connection) -> int:
        """End every session of a person in a transaction; returns how many there were."""
        return connection.execute("DELETE FROM session WHERE name = ?", (name,)).rowcount
