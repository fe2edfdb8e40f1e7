"""Who may do what with which table: the rights of a site's users, in its state file.

`select` reads, `insert` writes rows, `all` does both and changes and drops the table. A right is held by a user
on a table, by the table's full name; a table that is renamed takes its rights along.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable
from typing import Literal, NamedTuple, get_args

from isthmus.core.errors import InputError, UnknownName
from isthmus.state.store import Store

Right = Literal["select", "insert", "all"]
RIGHTS: tuple[Right, ...] = get_args(Right)

ROOM = "warehouse grants"
STEPS = (
    """CREATE TABLE warehouse_grant (
        name TEXT NOT NULL,
        user TEXT NOT NULL,
        "right" TEXT NOT NULL,
        PRIMARY KEY (name, user, "right")
    ) WITHOUT ROWID""",
)
_USER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,127}")


class Grant(NamedTuple):
    """A right that a user holds."""

    user: str
    right: str


class Grants:
    """The rights on the tables of a site."""

    def __init__(self, store: Store) -> None:
        """Keep them in the site's state file."""
        self._store = store
        store.migrate(ROOM, STEPS)

    def grant(self, name: str, user: str, right: str) -> bool:
        """Give a right; tells whether it was new. Raises InputError, UnknownName for the right."""
        checked = _checked(Grant(user, right))
        with self._store.transaction() as connection:
            return _put(connection, name, checked)

    def revoke(self, name: str, user: str, right: str) -> bool:
        """Take a right away, `all` all of them; tells whether there was any.

        Raises InputError where the user holds `all`, of which no part can be taken; UnknownName for the right.
        """
        user, right = _checked(Grant(user, right))
        with self._store.transaction() as connection:
            if right == "all":
                sql, values = "DELETE FROM warehouse_grant WHERE name = ? AND user = ?", (name, user)
                return connection.execute(sql, values).rowcount > 0
            if Grant(user, "all") in _of(connection, name):
                raise InputError(
                    f"{user} holds all rights on {name}, not {right} alone",
                    "revoke all, then grant what shall stay",
                )
            sql = 'DELETE FROM warehouse_grant WHERE name = ? AND user = ? AND "right" = ?'
            return connection.execute(sql, (name, user, right)).rowcount > 0

    def of(self, name: str) -> tuple[Grant, ...]:
        """Return the rights on a table, sorted."""
        return tuple(
            Grant(row["user"], row["right"])
            for row in self._store.rows(
                'SELECT user, "right" FROM warehouse_grant WHERE name = ? ORDER BY user, "right"', (name,)
            )
        )

    def allows(self, name: str, user: str, right: Right) -> bool:
        """Tell whether a user holds a right on a table, by itself or by `all`."""
        return not {Grant(user, right), Grant(user, "all")}.isdisjoint(self.of(name))

    def replace_all(
        self, name: str, grants: Iterable[tuple[str, str]], connection: sqlite3.Connection | None = None
    ) -> None:
        """Make the rights on a table exactly these: in the transaction of `connection`, else in one of its own.

        Raises InputError, UnknownName for a right; then nothing is changed.
        """
        checked = [_checked(Grant(*grant)) for grant in grants]
        if connection is not None:
            _replace(connection, name, checked)
            return
        with self._store.transaction() as own:
            _replace(own, name, checked)

    def renamed(self, name: str, to: str) -> None:
        """Hand the rights on a table to its new name; those that the new name had from before are gone."""
        with self._store.transaction() as connection:
            kept = _of(connection, name)
            if not kept:  # done already
                return
            _replace(connection, to, kept)
            _replace(connection, name, [])

    def forget(self, name: str) -> None:
        """Remove all rights on a table."""
        self.replace_all(name, [])


def _checked(grant: Grant) -> Grant:
    if not _USER.fullmatch(grant.user):
        raise InputError(f"{grant.user!r} is no user", "use letters, digits and . _ @ -")
    if grant.right not in RIGHTS:
        raise UnknownName.among("right", grant.right, RIGHTS)
    return grant


def _of(connection: sqlite3.Connection, name: str) -> list[Grant]:
    rows = connection.execute('SELECT user, "right" FROM warehouse_grant WHERE name = ?', (name,))
    return [Grant(row["user"], row["right"]) for row in rows]


def _put(connection: sqlite3.Connection, name: str, grant: Grant) -> bool:
    sql = "INSERT OR IGNORE INTO warehouse_grant VALUES (?, ?, ?)"
    return connection.execute(sql, (name, *grant)).rowcount > 0


def _replace(connection: sqlite3.Connection, name: str, grants: Iterable[Grant]) -> None:
    connection.execute("DELETE FROM warehouse_grant WHERE name = ?", (name,))
    for grant in grants:
        _put(connection, name, grant)
