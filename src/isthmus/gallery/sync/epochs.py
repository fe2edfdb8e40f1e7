"""The epoch and the digest key of each gallery at a sync server.

A set that is built anew gets other epochs, so that a device's position in the old one is never taken for one in
the new: an epoch belongs to one identity of a gallery, which its set made with it. So epochs need not lie in the
set's file, and making one waits for nobody who changes the set.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass

from isthmus.core.digest import new_key
from isthmus.state.store import Store

_STEPS = (
    "CREATE TABLE sync_epoch (gallery TEXT PRIMARY KEY, id BLOB NOT NULL, key BLOB NOT NULL)",
    "ALTER TABLE sync_epoch ADD COLUMN identity BLOB NOT NULL DEFAULT x''",
)
ID_BYTES = 8

Identity = Callable[[str], bytes]
"""Tells a gallery from one of the same name in a set that was built anew."""


@dataclass(frozen=True, slots=True)
class Epoch:
    """`id` tells epochs apart, `key` is that of the gallery's hashes while the epoch lasts."""

    id: bytes
    key: bytes


class Epochs:
    """Keeps the epochs in the site's state file."""

    def __init__(self, store: Store, identity: Identity = lambda gallery: b"") -> None:
        self._store, self._identity = store, identity
        store.migrate("sync_epoch", _STEPS)

    def of(self, gallery: str) -> Epoch:
        """Return a gallery's epoch; a gallery without one begins one."""
        identity = self._identity(gallery)
        return self._kept(gallery, identity) or self._begun(gallery, identity, anew=False)

    def renew(self, gallery: str) -> Epoch:
        """Begin another epoch: all positions that devices hold of the gallery end."""
        return self._begun(gallery, self._identity(gallery), anew=True)

    def _kept(self, gallery: str, identity: bytes) -> Epoch | None:
        rows = self._store.rows(
            "SELECT id, key FROM sync_epoch WHERE gallery = ? AND identity = ?", (gallery, identity)
        )
        return Epoch(rows[0]["id"], rows[0]["key"]) if rows else None

    def _begun(self, gallery: str, identity: bytes, *, anew: bool) -> Epoch:
        with self._store.transaction() as connection:
            kept = None if anew else self._kept(gallery, identity)  # another process was faster
            if kept is not None:
                return kept
            epoch = Epoch(secrets.token_bytes(ID_BYTES), new_key())
            connection.execute(
                "REPLACE INTO sync_epoch (gallery, id, key, identity) VALUES (?, ?, ?, ?)",
                (gallery, epoch.id, epoch.key, identity),
            )
        return epoch
