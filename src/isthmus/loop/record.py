"""What a source yields: one recording of moving agents, before anything is computed from it.

Units throughout the loop: metres, seconds, radians (counter-clockwise from the x axis), m/s, m/s².
The frame is any local plane; x and y are right-handed.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Track:
    """One agent over consecutive steps. All arrays have shape (n,), n ≥ 1.

    `step` rises strictly, in units of the record's `dt`; gaps are allowed and are interpolated later. `a` may
    hold NaN where the source does not give the acceleration; the other arrays must be finite, or the
    validation sets the record aside. `lane` is −1 where it is unknown.
    """

    agent_id: str
    step: Ints
    x: Floats
    y: Floats
    heading: Floats
    v: Floats
    a: Floats
    length: float = 4.8
    width: float = 2.0
    kind: str = "car"
    lane: Ints | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """One recording. `record_id` is unique within its source and day.

    `egos` names the agents that each become a scene of their own; None means every agent. Records that
    overlap in time or place share one `leak_group`: training and test never part it. `lanes` are map hints:
    centre lines as polylines of shape (k, 2).
    """

    record_id: str
    dt: float
    tracks: tuple[Track, ...]
    leak_group: str
    tags: tuple[str, ...] = ()
    egos: tuple[str, ...] | None = None
    lanes: tuple[Floats, ...] = ()
    start: datetime.datetime | None = None


@dataclass(frozen=True, slots=True)
class Reject:
    """A record, or a part of one, that was set aside.

    `reason` is one word of `REASONS`; `where` finds it again.
    """

    record_id: str
    reason: str
    where: str
    detail: str


REASONS: Mapping[str, str] = {
    "unreadable": "the file is broken, truncated or in a format nobody knows",
    "empty": "there is nothing in it",
    "missing_field": "a topic, column or message field that the settings name is not there",
    "not_finite": "states hold NaN or infinity",
    "wrong_unit": "values that no vehicle reaches: most likely another unit than the settings say",
    "out_of_order": "time does not rise",
    "too_short": "fewer steps than a scene needs",
    "duplicate": "the same record twice in one day",
}


@dataclass(frozen=True, slots=True)
class Unit:
    """One piece of work of a day, small enough for one worker: a bag, some records of a Parquet file, an episode.

    `fingerprint` changes whenever the input does (size and modification time, seed and settings): a resumed
    ingest reads again only units whose fingerprint changed. `args` is what the job type needs to read it; all
    of it can be pickled.
    """

    key: str
    fingerprint: str
    args: Mapping[str, Any] = field(default_factory=dict)
