"""Remembers collections that were renamed, so that older entries still find them when they are applied again.

An entry names its collection twice: by name, and by the UUID that stays when the name changes. Applied again after
the collection was renamed, it belongs to the collection's new name; and where its name was since taken by another
collection, it belongs nowhere. Entries without a UUID (MongoDB before 3.6) are taken by their name alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import bson
from bson.timestamp import Timestamp

from isthmus.gallery.oplog.entry import CODEC, decoded
from isthmus.gallery.ports import Waiting

KEPT_UNDER = "renamed"
"""The name under which they are kept beside waiting transactions, whose names are 40 hexadecimal digits."""

MOST_KEPT = 256


@dataclass(frozen=True, slots=True)
class _Renamed:
    ts: Timestamp
    ui: bytes
    to: str


class Renames:
    """The renames done so far, the latest MOST_KEPT of them, in the store's own transaction."""

    def __init__(self, waiting: Waiting) -> None:
        self._waiting = waiting
        self._kept: list[_Renamed] | None = None

    def done(self, ui: Any, ts: Any) -> bool:
        """Tell whether the rename that an entry with this UUID and time asks for was done."""
        known = self._all()
        return isinstance(ui, bytes) and any(one.ts == ts and one.ui == bytes(ui) for one in known)

    def place(self, ns: str, ui: Any, ts: Any) -> str | None:
        """Return the name that the collection of an entry has now; None where it is gone."""
        known = self._all()
        if not known or not isinstance(ui, bytes) or not isinstance(ts, Timestamp):
            return ns
        mine = bytes(ui)  # a Binary is never equal to plain bytes
        for one in known:
            if one.ts > ts and one.ui == mine:
                ns, ts = one.to, one.ts
        return None if any(one.ts > ts and one.to == ns and one.ui != mine for one in known) else ns

    def note(self, ui: Any, ts: Any, to: str) -> None:
        """Remember a rename. One without a UUID or time cannot be told apart later and is not kept."""
        if not isinstance(ui, bytes) or not isinstance(ts, Timestamp):
            return
        known = self._all()
        one = _Renamed(ts, bytes(ui), to)
        known.append(one)
        known.sort(key=lambda kept: kept.ts)
        self._waiting.add(KEPT_UNDER, _written(one))
        if len(known) > MOST_KEPT:
            del known[: len(known) - MOST_KEPT // 2]
            self._waiting.forget(KEPT_UNDER)
            for kept in known:
                self._waiting.add(KEPT_UNDER, _written(kept))

    def _all(self) -> list[_Renamed]:
        if self._kept is None:
            kept = (decoded(raw) for raw in self._waiting.entries(KEPT_UNDER))
            self._kept = sorted((_Renamed(**one) for one in kept), key=lambda one: one.ts)
        return self._kept


def _written(one: _Renamed) -> bytes:
    return bson.encode({"ts": one.ts, "ui": one.ui, "to": one.to}, codec_options=CODEC)
