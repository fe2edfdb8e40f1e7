"""The matrices in which a device searches, one a gallery, kept after the store's records by their stamps.

Where records say whose they are, beside each matrix is kept which of them show one person (device.people). All are
caches: each says which epoch and stamp it stands at, and is filled anew where that is too long ago. A store that
is encrypted has them in memory only.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from isthmus.gallery.device.people import FILE, People
from isthmus.gallery.device.store import DeviceStore
from isthmus.gallery.match import Matrix
from isthmus.gallery.people import Persons
from isthmus.imaging.port import Model


class Matrices:
    """Opens matrices and brings them up to date. Belongs to the thread of its store."""

    def __init__(self, store: DeviceStore, persons: Persons) -> None:
        self._store, self._persons = store, persons
        self._folder = None if store.sealed else store.folder / "match"
        self._open: dict[tuple[str, str], Matrix] = {}
        self._people: dict[tuple[str, str], People] = {}

    def of(self, gallery: str, model: Model) -> Matrix:
        """Return a gallery's matrix of a model's vectors, up to date."""
        matrix = self._open.get((gallery, model.name))
        if matrix is None:
            matrix = Matrix(self._place(gallery, model.name), model)
            self._open[(gallery, model.name)] = matrix
        self._follow(gallery, matrix)
        return matrix

    def people(self, gallery: str, model: Model) -> People | None:
        """Return who is shown together in a gallery, up to date; None where records do not say whose they are."""
        if not self._persons:
            return None
        people = self._people.get((gallery, model.name))
        if people is None:
            people = People(self._place(gallery, model.name), gallery, self._store, self._persons)
            self._people[(gallery, model.name)] = people
        people.follow()
        return people

    def tidy(self) -> None:
        """Take out of the folder whatever the store no longer holds, vectors of removed records above all."""
        wanted = set()
        for found in self._store.galleries():
            for model in self._store.models(found.gallery):
                place = self._place(found.gallery, model.name)
                if (found.gallery, model.name) in self._open or (place is not None and place.is_dir()):
                    self.of(found.gallery, model)
                    self._tidy_people(found.gallery, model, place)
                wanted.add((found.gallery, model.name))
        for name in [name for name in self._open if name not in wanted]:
            self._open.pop(name).close()
            if name in self._people:
                self._people.pop(name).close()
        if self._folder is not None and self._folder.is_dir():
            kept = {self._place(*name) for name in wanted}
            for folder in self._folder.iterdir():
                if folder not in kept:
                    shutil.rmtree(folder)

    def close(self) -> None:
        """Close them all."""
        for matrix in self._open.values():
            matrix.close()
        for people in self._people.values():
            people.close()
        self._open.clear()
        self._people.clear()

    def _tidy_people(self, gallery: str, model: Model, place: Path | None) -> None:
        if self.people(gallery, model) is None and place is not None:
            for left in place.glob(f"{FILE}*"):
                left.unlink(missing_ok=True)

    def _place(self, gallery: str, model: str) -> Path | None:
        if self._folder is None:
            return None
        return self._folder / hashlib.blake2b(f"{gallery}\n{model}".encode(), digest_size=16).hexdigest()

    def _follow(self, gallery: str, matrix: Matrix) -> None:
        epoch, newest = self._store.stamp(gallery)
        position = f"{epoch} {newest}"
        if matrix.position == position:
            return
        stood = (matrix.position or "").split(" ")
        touched = None
        if len(stood) == 2 and stood[0] == epoch:
            touched = self._store.touched(gallery, int(stood[1]))
        if touched is None:
            matrix.clear()
            matrix.change(put=self._vectors(gallery, matrix.model), position=position)
            return
        put = [(place, vector) for place in touched if (vector := self._one(gallery, place, matrix.model))]
        there = {place for place, _ in put}
        matrix.change(put=put, delete=[place for place in touched if place not in there], position=position)

    def _vectors(self, gallery: str, model: Model) -> Iterator[tuple[bytes, bytes]]:
        for place, item in self._store.items(gallery):
            vector = self._store.vector_of(gallery, place, item, model.name)
            if vector is not None and len(vector) == model.size:
                yield place, vector

    def _one(self, gallery: str, place: bytes, model: Model) -> bytes | None:
        item = self._store.item(gallery, place)
        vector = None if item is None else self._store.vector_of(gallery, place, item, model.name)
        return vector if vector is not None and len(vector) == model.size else None
