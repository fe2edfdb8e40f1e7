"""Publishes released models at the inner site: a version with its pieces is one transaction, so is a withdrawal.

Pieces that versions have in common are there once. What no listed version needs any more is removed with the
change that made it so; devices keep what they use until they have proven what comes instead.
"""

from __future__ import annotations

from collections.abc import Mapping

import bson
import msgspec

from isthmus.core.errors import Corrupt, InputError
from isthmus.core.ports import Clock
from isthmus.gallery.inner import InnerSite
from isthmus.gallery.piece import CATALOGUE, PIECE_BYTES, piece_id, shelf
from isthmus.gallery.publication import MOST_BYTES, Catalogue, Published, Withdrawn, cut, version_name
from isthmus.gallery.shelves import Shelves
from isthmus.gallery.store.change import Change
from isthmus.gallery.store.sqlite import SqliteSet
from isthmus.state.audit import Audit

KEEP = 2
"""So many versions stay published: the one that counts, and the one to fall back to."""


class Publishing:
    """Changes the shelves of set 1 for a person, `who`. Belongs to the set's thread."""

    def __init__(self, held: SqliteSet, site: InnerSite, clock: Clock, who: str, audit: Audit) -> None:
        self._set, self._site, self._clock, self._who, self._audit = held, site, clock, who, audit
        self.shelves = Shelves(held)

    def now(self) -> str:
        """Return the present time as publications tell it."""
        return self._clock.now().isoformat(timespec="seconds")

    def publish(self, name: str, files: Mapping[str, bytes], told: Published, keep: int = KEEP) -> Published:
        """Publish a version: `files` are its contents by path; `told` says everything but these.

        Of all versions the `keep` latest stay. Publishing a version again makes it count again, and writes pieces
        that were damaged anew. Raises InputError where it was published with other files, or is too large.
        """
        version_name(told.version)
        if not files or sum(map(len, files.values())) > MOST_BYTES:
            raise InputError(
                f"{name} {told.version} has no files, or more than {MOST_BYTES:,} bytes", "look at it"
            )
        parts: dict[str, bytes] = {}
        listed = []
        for path in sorted(files):
            file, pieces = cut(path, files[path])
            listed.append(file)
            parts.update(zip(file.pieces, pieces, strict=True))
        new = msgspec.structs.replace(told, files=tuple(listed))
        with self._set.changing() as change:
            old = self._catalogue(name)
            catalogue = old.published(new, keep)
            there, again = self._there(name), any(one.version == new.version for one in old.versions)
            for digest, content in parts.items():
                known = piece_id(digest) in there
                if known and not again and self._is_whole(digest):
                    continue
                attributes = {"model": name}
                self._site.write(change, shelf(name), piece_id(digest), content, attributes, new=not known)
            self._list(change, catalogue)
            self._note(change, "publish model", name, f"{new.version}, {new.size:,} bytes, {new.digest[:12]}")
        return new

    def withdraw(self, name: str, version: str = "", why: str = "") -> Catalogue:
        """Withdraw a version, the one that counts unless another is named; devices stop using it.

        Returns what is published then. Raises UnknownName where it is not published.
        """
        with self._set.changing() as change:
            old = self.shelves.known(name)
            if not version:
                if old.latest is None:
                    raise InputError(f"no version of {name} is published", "isthmus model list shows what is")
                version = old.latest.version
            catalogue = old.without(Withdrawn(version, why, self._who, self.now()))
            self._list(change, catalogue)
            self._note(change, "withdraw model", name, f"{version}{': ' if why else ''}{why}")
        return catalogue

    def _catalogue(self, name: str) -> Catalogue:
        """Return what is published; nothing where that cannot be read any more: what is published now heals it."""
        try:
            return self.shelves.catalogue(name)
        except Corrupt:
            return Catalogue(name)

    def _there(self, name: str) -> set[str]:
        """List the ids of the records of a shelf."""
        return {str(bson.decode(one.key)["_id"]) for one in self._set.records(shelf(name))}

    def _is_whole(self, digest: str) -> bool:
        try:
            self.shelves.content(bytes.fromhex(digest))
        except Corrupt:
            return False
        return True

    def _list(self, change: Change, new: Catalogue) -> None:
        """Write the catalogue and remove pieces that it needs no more."""
        needed = {piece_id(piece.hex()) for one in new.versions for piece in one.pieces}
        there = self._there(new.name)
        for id in sorted(there - needed - {CATALOGUE}):
            self._site.erase(change, shelf(new.name), id)
        content = new.content()
        if len(content) > PIECE_BYTES:
            raise InputError(f"the catalogue of {new.name} would have {len(content):,} bytes", "shorten the notes")
        latest = new.latest
        attributes = {"model": new.name, "version": latest.version if latest else "", "by": self._who}
        self._site.write(change, shelf(new.name), CATALOGUE, content, attributes, new=CATALOGUE not in there)

    def _note(self, change: Change, act: str, name: str, detail: str) -> None:
        self._audit.note(self._who, act, shelf(name), name, detail=detail, connection=change.connection)
