"""The epoch and the digest key of each gallery at a sync server, made with the set and kept in the same file.

A set that is built anew gets other epochs, so that a device's position in the old one is never taken for one in
the new.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from isthmus.core.digest import new_key
from isthmus.state.store import Store

_STEPS = ("CREATE TABLE sync_epoch (gallery TEXT PRIMARY KEY, id BLOB NOT NULL, key BLOB NOT NULL)",)
ID_BYTES = 8


@dataclass(frozen=True, slots=True)
class Epoch:
    """`id` tells epochs apart, `key` is that of the gallery's hashes while the epoch lasts."""

    id: bytes
    key: bytes


class Epochs:
    """Keeps the epochs in the site's state file."""

    def __init__(self, store: Store) -> None:
        self._store = store
        store.migrate("sync_epoch", _STEPS)

    def of(self, gallery: str) -> Epoch:
        """Return a gallery's epoch; a gallery without one begins one."""
        rows = self._store.rows("SELECT id, key FROM sync_epoch WHERE gallery = ?", (gallery,))
        if not rows:
            with self._store.transaction() as connection:
                connection.execute("INSERT OR IGNORE INTO sync_epoch VALUES (?, ?, ?)", _fresh(gallery))
            rows = self._store.rows("SELECT id, key FROM sync_epoch WHERE gallery = ?", (gallery,))
        return Epoch(rows[0]["id"], rows[0]["key"])

    def renew(self, gallery: str) -> Epoch:
        """Begin another epoch: all positions that devices hold of the gallery end."""
        with self._store.transaction() as connection:
            connection.execute("REPLACE INTO sync_epoch VALUES (?, ?, ?)", _fresh(gallery))
        return self.of(gallery)


def _fresh(gallery: str) -> tuple[str, bytes, bytes]:
    return gallery, secrets.token_bytes(ID_BYTES), new_key()
