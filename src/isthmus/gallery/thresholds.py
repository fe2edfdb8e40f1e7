"""The thresholds that were calibrated for single galleries, kept beside the set whose vectors they were made of.

Devices are told a gallery's threshold at every synchronisation, also where nothing else of it changed. A threshold
belongs to a gallery and a model: where another model comes to be used, that model's own threshold holds, unless
the two are kin (imaging.port.Translator): the same vectors in another form.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from datetime import datetime
from sqlite3 import Row

from isthmus.core.errors import InputError, UnknownName
from isthmus.gallery.calibrate import Calibration, calibrate
from isthmus.gallery.ports import Set
from isthmus.gallery.record import Document
from isthmus.imaging.port import Model
from isthmus.state.store import Store

_STEPS = (
    """CREATE TABLE gallery_threshold (
        gallery TEXT NOT NULL, model TEXT NOT NULL, threshold REAL NOT NULL, target REAL NOT NULL,
        strangers INTEGER NOT NULL, at TEXT NOT NULL,
        PRIMARY KEY (gallery, model)
    )""",
)

Whose = Callable[[Document], Hashable]
"""Says of a record's document whose it is."""


@dataclass(frozen=True, slots=True)
class Threshold:
    """A threshold that was calibrated, from how many vectors that played strangers, and when."""

    gallery: str
    model: str
    threshold: float
    target: float
    strangers: int
    at: datetime


class Thresholds:
    """Keeps the thresholds in the site's state file. Belongs to the thread of its store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        store.migrate("gallery_threshold", _STEPS)

    def applied(self, gallery: str, model: Model, kin: Sequence[str] = ()) -> Model:
        """Return a model with the threshold that holds in a gallery: its own, or else that of the first kin."""
        rows: list[Row] = []
        for name in (model.name, *kin):
            rows = rows or self._store.rows(
                "SELECT threshold FROM gallery_threshold WHERE gallery = ? AND model = ?", (gallery, name)
            )
        return dataclasses.replace(model, threshold=rows[0]["threshold"]) if rows else model

    def keep(self, gallery: str, model: str, found: Calibration, target: float, at: datetime) -> None:
        """Keep what a calibration found; it holds from the next synchronisation of each device on."""
        with self._store.transaction() as connection:
            connection.execute(
                "REPLACE INTO gallery_threshold VALUES (?, ?, ?, ?, ?, ?)",
                (gallery, model, found.threshold, target, found.strangers, at.isoformat()),
            )

    def forget(self, gallery: str) -> int:
        """Let the models' own thresholds hold in a gallery again; returns how many were forgotten."""
        with self._store.transaction() as connection:
            cursor = connection.execute("DELETE FROM gallery_threshold WHERE gallery = ?", (gallery,))
        return cursor.rowcount

    def list(self) -> Sequence[Threshold]:
        """List what was calibrated, by gallery."""
        return [
            Threshold(
                row["gallery"],
                row["model"],
                row["threshold"],
                row["target"],
                row["strangers"],
                datetime.fromisoformat(row["at"]),
            )
            for row in self._store.rows("SELECT * FROM gallery_threshold ORDER BY gallery, model")
        ]


def calibrated(held: Set, gallery: str, model: Model, whose: Whose, target: float = 0.01) -> Calibration:
    """Calibrate a gallery from the vectors that a set holds of it; see `gallery.calibrate`.

    Raises UnknownName where the set has no such gallery, InputError where it has no vectors of the model, or the
    target is none.
    """
    if not 0 < target < 1:
        raise InputError(f"{target:g} is no share of strangers", "say for example 0.01 for one in a hundred")
    there = [stat.gallery for stat in held.galleries()]
    if gallery not in there:
        raise UnknownName.among("gallery", gallery, there)
    vectors: list[bytes] = []
    people: list[Hashable] = []
    for record in held.records(gallery):
        vector = held.vector(record.image.digest, model.name) if record.usable and record.image else None
        document = held.document(gallery, record.key) if vector is not None else None
        if vector is not None and document is not None and len(vector) == model.size:
            vectors.append(vector)
            people.append(whose(document))
    if not vectors:
        raise InputError(f"{gallery} has no vectors of {model.name}", "they are made while the site receives")
    return calibrate(vectors, people, model, target)
