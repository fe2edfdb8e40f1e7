"""What makes vectors at an outer site: an extractor that is installed, or the latest sound version of a model.

When a model's version changes, all vectors are made anew. Devices are told of the new ones when the last one is
made; until then they keep, and get, those of the version before.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Protocol

from isthmus.gallery.shelves import Shelves
from isthmus.gallery.store.mongo import MongoSet
from isthmus.gallery.store.sqlite import SqliteSet
from isthmus.imaging.port import Metric, Model
from isthmus.state.store import Store

if TYPE_CHECKING:
    from isthmus.imaging.network import NetworkExtractor
    from isthmus.imaging.port import Extractor

Told = tuple[Model, tuple[str, ...]]
"""The model whose vectors devices get, and the names of its kin."""

_STEPS = (
    """CREATE TABLE told_model (
        one INTEGER PRIMARY KEY CHECK (one = 1), name TEXT NOT NULL, size INTEGER NOT NULL, threshold REAL NOT NULL
    )""",
)


class Maker(Protocol):
    """Says what makes vectors, and whose vectors devices are told of."""

    def extractor(self) -> Extractor | None:
        """Return what makes vectors now; None where nothing does."""
        ...

    def told(self) -> Told | None:
        """Return the model whose vectors devices get; None where they get none."""
        ...

    def complete(self) -> None:
        """Note that no image is without a vector just now."""
        ...


class Installed:
    """An extractor by its name, none where that is empty."""

    def __init__(self, name: str) -> None:
        self._name = name

    @cached_property
    def _made(self) -> Extractor | None:
        if not self._name:
            return None
        from isthmus.imaging.extractors import load

        return load(self._name)

    def extractor(self) -> Extractor | None:
        """Return it. Raises UnknownName, MissingExtra."""
        return self._made

    def told(self) -> Told | None:
        """Return its model and that model's kin."""
        from isthmus.imaging.port import Translator

        made = self._made
        return None if made is None else (made.model, made.kin if isinstance(made, Translator) else ())

    def complete(self) -> None:
        """Take no notice: its vectors are told of as they come."""


class Published:
    """The latest version of a published model that is whole and proven here. Belongs to the set's thread."""

    def __init__(self, name: str, held: SqliteSet | MongoSet, store: Store) -> None:
        self._name, self._set, self._store = name, held, store
        self._shelves = Shelves(held)
        self._catalogue = b"none yet"
        self._made: NetworkExtractor | None = None
        store.migrate("told_model", _STEPS)

    def extractor(self) -> Extractor | None:
        """Return it; None before the first sound version came. Raises MissingExtra."""
        there = self._shelves.catalogue_digest(self._name)
        if there != self._catalogue:
            self._made = self._loaded()
            self._catalogue = there
        return self._made

    def told(self) -> Told | None:
        """Return the model of which every image had a vector when it was last looked at."""
        rows = self._store.rows("SELECT name, size, threshold FROM told_model")
        if not rows:
            return None
        return Model(rows[0]["name"], Metric.EUCLIDEAN, rows[0]["size"], rows[0]["threshold"]), ()

    def complete(self) -> None:
        """Let devices be told of the present version's vectors."""
        made = self.extractor()
        now, before = None if made is None else made.model, self.told()
        if now == (before and before[0]):
            return
        with self._store.transaction() as connection:
            connection.execute("DELETE FROM told_model")
            if now is not None:
                values = (now.name, now.size, now.threshold)
                connection.execute("INSERT INTO told_model VALUES (1, ?, ?, ?)", values)

    def _loaded(self) -> NetworkExtractor | None:
        from isthmus.core.errors import Corrupt
        from isthmus.gallery.publication import identity
        from isthmus.imaging.network import NetworkExtractor

        try:
            found = self._shelves.sound(self._name)
        except Corrupt:
            return self._made  # the catalogue is damaged: the version before goes on
        if found is None or found[0].sight is None:
            return None
        version, network = found
        return NetworkExtractor(network, found[0].sight, identity(self._name, version))
