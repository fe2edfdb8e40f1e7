"""All sites that a server shows, at one look: how each stands, and what flows over the boundaries between them.

A site is read from its own files, as its command line would; a part that cannot be read becomes something that a
person has to know, and the others are shown.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from isthmus.app.views.looking import AlarmSeen, Boundary, End, Figure, Health, Look
from isthmus.core.errors import IsthmusError

_WORST: tuple[Health, ...] = ("alarm", "waiting", "unknown", "well")
_DOWN = ("failed", "backing off", "lost")


@dataclass(frozen=True, slots=True)
class PartSeen:
    """One process of a site, as its supervisor wrote it down. `state` is "down" where the site is not up."""

    name: str
    state: str
    since: datetime | None = None
    restarts: int = 0
    why: str = ""


@dataclass(frozen=True, slots=True)
class SiteSeen:
    """One site. `kinds` say what it is: inner, outer, sync, acquire, agent, loop, device, its role of a pair.

    `flaws` say what could not be read; `health` is how it stands, in a word.
    """

    name: str
    kinds: tuple[str, ...] = ()
    own: bool = False
    up: bool = False
    parts: tuple[PartSeen, ...] = ()
    figures: tuple[Figure, ...] = ()
    alarms: tuple[AlarmSeen, ...] = ()
    ends: tuple[End, ...] = ()
    flaws: tuple[str, ...] = ()
    health: Health = "unknown"


@dataclass(frozen=True, slots=True)
class Flow:
    """What crosses one boundary, from a node to another, by name. `far` tells which of them is no shown site."""

    boundary: Boundary
    source: str
    target: str
    health: Health
    figures: tuple[Figure, ...] = ()
    far: Literal["", "source", "target"] = ""


@dataclass(frozen=True, slots=True)
class Overview:
    """Everything at one moment."""

    now: datetime
    sites: tuple[SiteSeen, ...]
    flows: tuple[Flow, ...] = field(default=())


def overview_of(tomls: Sequence[Path], now: datetime) -> Overview:
    """Look at every site; the first is the server's own. Raises nothing: what is wrong stands in the site."""
    sites = tuple(site_of(toml, now, own=place == 0) for place, toml in enumerate(dict.fromkeys(tomls)))
    return Overview(now, sites, tuple(flows_of(sites)))


def flows_of(sites: Sequence[SiteSeen]) -> Iterator[Flow]:
    """Join the ends of boundaries into flows: two ends of shown sites, or one and what it names far away."""
    ends = [(site, end) for site in sites for end in site.ends]
    joined: set[int] = set()
    for here, (site, end) in enumerate(ends):
        if here in joined:
            continue
        there = next(
            (
                place
                for place, (other, theirs) in enumerate(ends)
                if place not in joined and place != here and other is not site and _meet(site, end, other, theirs)
            ),
            None,
        )
        joined.add(here)
        if there is None:
            source, target = (site.name, end.far) if end.gives else (end.far, site.name)
            yield Flow(end.boundary, source, target, end.health, end.figures, "target" if end.gives else "source")
            continue
        joined.add(there)
        giver, taker = ((site, end), ends[there]) if end.gives else (ends[there], (site, end))
        figures = {one.name: one for one in (*giver[1].figures, *taker[1].figures)}  # the taker knows what arrived
        health = min((giver[1].health, taker[1].health), key=_WORST.index)
        yield Flow(end.boundary, giver[0].name, taker[0].name, health, tuple(figures.values()))


def _meet(site: SiteSeen, end: End, other: SiteSeen, theirs: End) -> bool:
    if (end.boundary, end.mark) != (theirs.boundary, theirs.mark):
        return False
    if end.boundary == "recovery":  # which of both gives changes with their roles, and may be told late
        return end.far == other.name and theirs.far == site.name
    return end.gives != theirs.gives


def site_of(toml: Path, now: datetime, own: bool = False) -> SiteSeen:
    """Look at one site."""
    from isthmus.app.upconfig import read_up_config
    from isthmus.app.views.looks import LOOKS

    try:
        config = read_up_config(toml)
    except (IsthmusError, OSError) as error:
        return SiteSeen(toml.resolve().parent.name, own=own, flaws=(str(error),), health="alarm")
    look = Look()
    nothing: tuple[bool, tuple[PartSeen, ...]] = (False, ())
    up, parts = look.read(lambda: _parts(config), nothing)
    for table, reading in LOOKS.items():
        if table in config.tables:
            reading(look, toml, config.tables, now)
    return SiteSeen(
        config.site.name,
        tuple(dict.fromkeys(look.kinds)),
        own,
        up,
        parts,
        tuple(look.figures),
        tuple(look.alarms),
        tuple(look.ends),
        tuple(dict.fromkeys(look.flaws)),
        _health(look, up, parts),
    )


def _health(look: Look, up: bool, parts: Sequence[PartSeen]) -> Health:
    """Say how a site stands, in a word."""
    if look.alarms or look.flaws or any(part.state in _DOWN for part in parts):
        return "alarm"
    known = [health for health in (*look.healths, *(end.health for end in look.ends)) if health != "unknown"]
    return min([*known, "well"] if up else known, key=_WORST.index, default="unknown")


def _parts(config: Any) -> tuple[bool, tuple[PartSeen, ...]]:
    from isthmus.app.product.asked import asked_for
    from isthmus.app.product.record import read_record

    record = read_record(config.state_folder)
    alive = record is not None and record.alive
    found = []
    for part in asked_for(config):
        if record is None:  # it never was up: whether something was started by hand is not known
            break
        ran = record.part(part.name)
        if ran is None or not alive:
            found.append(PartSeen(part.name, "lost" if record.lost else "down"))
        else:
            found.append(PartSeen(part.name, ran.state, ran.since, ran.restarts, ran.why))
    return alive, tuple(found)
