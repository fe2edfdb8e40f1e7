"""The images of one open transaction of the embedded store: which are held, which are new, and which go with it.

An image is let go at the end of the transaction in which the last record and the last entry that have it went.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from itertools import islice

from isthmus.gallery.store.files import ImageFiles
from isthmus.gallery.store.intake import Intake, Ready

_TOGETHER = 255
"""So many images are asked for at once, beside the one that is needed: old SQLite takes 999 values."""


class Images:
    """Keeps images for an open transaction, and lets those go that nothing has any more."""

    def __init__(self, connection: Callable[[], sqlite3.Connection], intake: Intake, files: ImageFiles) -> None:
        """`connection` gives the transaction with all in it that was put until then."""
        self._connection, self.intake, self._files = connection, intake, files
        self.loosened: set[bytes] = set()
        """Those that may have lost what had them."""
        self.removed = False
        """Whether some were let go, whose contents can be removed after the commit."""
        self._new, self._unused = set[bytes](), set[bytes]()
        self._asked, self._coming = set[bytes](), set[bytes]()
        self._unlinks = connection().execute("SELECT 1 FROM unlink LIMIT 1").fetchone() is not None

    def keep(self, ready: Ready) -> str | None:
        """Have an image held; returns why it is refused. One that no record or entry uses at the end is let go.

        Where the file of one that is held already is damaged or gone, it is written again.
        """
        row = self._known(ready)
        if row is not None and row["refused"] == ready.refused:
            if not self.used(ready.digest):  # only entries had it: its vectors are gone, it is as good as new
                self._replace(ready)
            if ready.refused is None and not self._files.holds(ready.digest, ready.content):
                self._files.place(ready.digest, ready.content)
            return ready.refused
        if self._unlinks:
            self._connection().execute("DELETE FROM unlink WHERE digest = ?", (ready.digest,))
        if row is not None:
            self._replace(ready)
        else:
            self._new.add(ready.digest)
            self._unused.add(ready.digest)
        if ready.refused is None:
            self._files.place(ready.digest, ready.content)
        self.loosened.add(ready.digest)
        return ready.refused

    def is_new(self, digest: bytes) -> bool:
        """Tell whether nothing was known of an image before this transaction."""
        return digest in self._new

    def first_use(self, digest: bytes | None) -> bool:
        """Tell whether an image is new and this is the first time that this was asked."""
        if digest not in self._unused:
            return False
        self._unused.discard(digest)
        return True

    def refused(self, digest: bytes) -> str | None:
        """Return why an image that is held is refused. Raises ValueError where it is not held."""
        sql = "SELECT refused FROM image WHERE digest = ?"
        row = self._connection().execute(sql, (digest,)).fetchone()
        if row is None:
            raise ValueError(f"the image {digest.hex()[:16]} is not held")
        return row["refused"]  # type: ignore[no-any-return]

    def used(self, digest: bytes) -> bool:
        """Tell whether a record has an image."""
        sql = "SELECT 1 FROM record WHERE image = ? LIMIT 1"
        return self._connection().execute(sql, (digest,)).fetchone() is not None

    def vector_of(self, digest: bytes) -> str | None:
        """Return the model that gave an image its last vector; None where it has none."""
        sql = "SELECT model FROM vector WHERE image = ? AND vector IS NOT NULL ORDER BY number DESC"
        row = self._connection().execute(sql, (digest,)).fetchone()
        return row["model"] if row else None

    def let_go(self) -> None:
        """Forget the images that nothing has any more: the end of the transaction."""
        for digest in sorted(self.loosened):
            self._let_go(digest)

    def _replace(self, ready: Ready) -> None:
        sql = "REPLACE INTO image (digest, size, refused) VALUES (?, ?, ?)"
        self._connection().execute(sql, (ready.digest, ready.size, ready.refused))

    def _known(self, ready: Ready) -> sqlite3.Row | None:
        """Return what is known of an image; one of which nothing is becomes known by it: then None.

        So do those that were made ready with it, since after each statement this thread waits for those that make
        images ready. What nobody keeps is let go at the end.
        """
        if ready.digest not in self._asked:
            others = islice((one for one in self.intake.ready() if one.digest not in self._asked), _TOGETHER)
            coming = {one.digest: one for one in (ready, *others)}
            marks = ", ".join("?" * len(coming))
            rows = self._connection().execute(f"SELECT digest FROM image WHERE digest IN ({marks})", [*coming])
            known = {row["digest"] for row in rows}
            new = {digest: one for digest, one in coming.items() if digest not in known}
            if new:
                values = [value for one in new.values() for value in (one.digest, one.size, one.refused)]
                marks = ", ".join(["(?, ?, ?)"] * len(new))
                self._connection().execute(f"INSERT INTO image (digest, size, refused) VALUES {marks}", values)
            self._asked |= coming.keys()
            self._coming |= new.keys()
            self.loosened |= new.keys()
        if ready.digest in self._coming:
            self._coming.remove(ready.digest)
            return None
        sql = "SELECT refused FROM image WHERE digest = ?"
        return self._connection().execute(sql, (ready.digest,)).fetchone()  # type: ignore[no-any-return]

    def _let_go(self, digest: bytes) -> None:
        """Forget an image's vectors with its last record, and the image itself where no entry has it either."""
        found = self._connection().execute
        if self.used(digest):
            return
        found("DELETE FROM vector WHERE image = ?", (digest,))
        if found("SELECT 1 FROM entry_image WHERE image = ? LIMIT 1", (digest,)).fetchone():
            return
        row = found("SELECT refused FROM image WHERE digest = ?", (digest,)).fetchone()
        found("DELETE FROM image WHERE digest = ?", (digest,))
        if row is not None and row["refused"] is None:
            found("INSERT OR IGNORE INTO unlink VALUES (?)", (digest,))
            self.removed = True
