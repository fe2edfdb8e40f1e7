"""Whether two sites can work together: checks both ways over plain values, and a table of what is wrong.

Whoever collects the values opens connections and reads disks; nothing here does. What is not known, as of the
other side of a one-way gate, is told as not known, and holds nobody up.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from isthmus.recovery.shards import Shards, prepare

__all__ = ["Check", "Shards", "Side", "checks", "prepare", "table", "well"]

SKEW_S = 60.0
"""How far two clocks may be apart: keys of rounds and the recovery point are told by them, nothing is judged."""


@dataclass(frozen=True, slots=True)
class Side:
    """What is known of one site. None, and what is empty, is not known.

    `reaches` says what came of reaching the other side: empty where that went well, else the error. `key` is the
    public key that it signs with, `trusts` those that it takes: none, or None where a report does not tell.
    `clock` is its time, read at one moment with the other's. `links` tells whether files can be linked from the
    warehouse into the state. `needs` is what a first full round takes, in bytes. `versions` are by component;
    `format` is that of bundles.
    """

    name: str
    peer: str = ""
    stream: str = ""
    role: str = ""
    epoch: int = 0
    reaches: str | None = None
    key: str = ""
    trusts: tuple[str, ...] | None = ()
    clock: datetime | None = None
    free: int | None = None
    needs: int | None = None
    links: bool | None = None
    versions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Check:
    """What was looked at, whether it is well (None: not known), what was found, and what to do where it is not."""

    what: str
    well: bool | None
    detail: str
    hint: str = ""


def checks(here: Side, there: Side | None, skew_s: float = SKEW_S) -> list[Check]:
    """Check both sites, both ways. `there` is None where nothing is known of the other."""
    other = there or Side(here.peer or "the other site")
    return [
        *_names(here, other),
        _reach(here, other),
        _reach(other, here),
        _trust(here, other),
        _trust(other, here),
        _clock(here, other, skew_s),
        *_space(here, other),
        *_versions(here, other),
        _roles(here, other),
    ]


def well(found: Iterable[Check]) -> bool:
    """Tell whether nothing is wrong; what is not known is not wrong."""
    return all(check.well is not False for check in found)


def table(found: Sequence[Check], only_wrong: bool = False) -> list[str]:
    """Write checks as rows of plain text, what is wrong with what to do."""
    words = {True: "well", False: "WRONG", None: "not known"}
    shown = [check for check in found if check.well is False or not only_wrong]
    width = max((len(check.what) for check in shown), default=0)
    rows = []
    for check in shown:
        hint = f"; {check.hint}" if check.hint and check.well is not True else ""
        text = f"{check.what:<{width}}  {words[check.well]:<9}  {check.detail}{hint}"
        rows.append("".join(sign if sign.isprintable() else " " for sign in text))
    return rows


def _names(here: Side, other: Side) -> Iterator[Check]:
    if here.name == other.name:
        yield Check("names", False, f"both sites are called {here.name}", "give each site.name of its own")
    elif not other.peer:
        yield Check("names", None, f"{here.name} expects {here.peer or other.name}")
    else:
        good = here.peer == other.name and other.peer == here.name
        detail = f"{here.name} expects {here.peer}, {other.name} expects {other.peer}"
        yield Check("names", good, detail, "set peer on each side to the other's site.name")
    if other.stream:
        same = here.stream == other.stream
        yield Check("stream", same, f"{here.stream} and {other.stream}", "name the stream alike on both sides")


def _reach(one: Side, other: Side) -> Check:
    what = f"{one.name} reaches {other.name}"
    if one.reaches is None:
        return Check(what, None, "not tried, or no word came back")
    return Check(
        what, not one.reaches, one.reaches or "it does", "check addresses, tokens, folders and rights of the road"
    )


def _trust(signer: Side, taker: Side) -> Check:
    what = f"{taker.name} trusts {signer.name}"
    if taker.trusts is None:
        return Check(what, None, f"what {taker.name} trusts is not told here", f"look at trust at {taker.name}")
    if not signer.key or (not taker.trusts and taker.reaches is None):
        return Check(what, None, f"the key of {signer.name} is not known", "carry it over by hand and compare it")
    if signer.key == taker.key:
        return Check(what, False, "both sites sign with one key", "make a key on each side; never copy one")
    good = signer.key in taker.trusts
    hint = f'add to trust at {taker.name}: "{signer.key}"'
    return Check(what, good, "its key is taken" if good else "its key is not among those taken", hint)


def _clock(here: Side, other: Side, skew_s: float) -> Check:
    if here.clock is None or other.clock is None:
        return Check("clocks", None, f"the time at {other.name if here.clock else here.name} is not known")
    apart = (other.clock - here.clock).total_seconds()
    detail = f"{other.name} is {abs(apart):.1f} s {'ahead of' if apart > 0 else 'behind'} {here.name}"
    return Check("clocks", abs(apart) <= skew_s, detail, "let both clocks follow time servers")


def _space(here: Side, other: Side) -> Iterator[Check]:
    for side, needs in ((here, 0), (other, here.needs)):
        what = f"free space at {side.name}"
        if side.free is None or needs is None:
            yield Check(what, None, "not known")
        else:
            detail = f"{side.free / 1e9:.2f} GB free, {needs / 1e9:.2f} GB needed for the published tables"
            yield Check(what, side.free > needs, detail, "make room, or publish less")
    for side in (here, other):
        if side.links is not None:
            detail = "files are linked" if side.links else "state and warehouse lie on different file systems"
            hint = "put the site's state on the warehouse's file system, or every file is copied in full"
            yield Check(f"links at {side.name}", side.links, detail, hint)


def _versions(here: Side, other: Side) -> Iterator[Check]:
    for part in sorted({*here.versions, *other.versions}):
        mine, theirs = here.versions.get(part), other.versions.get(part)
        what = f"version of {part}"
        if mine is None or theirs is None:
            yield Check(what, None, f"{here.name}: {mine or 'not known'}, {other.name}: {theirs or 'not known'}")
            continue
        same = mine == theirs if part == "format" else mine.partition(".")[0] == theirs.partition(".")[0]
        hint = "install the same release on both sides: a standby has to read what the primary writes"
        yield Check(what, same, f"{here.name}: {mine}, {other.name}: {theirs}", hint)


def _roles(here: Side, other: Side) -> Check:
    if not here.role or not other.role:
        return Check("roles", None, f"{here.name}: {here.role or 'not known'}, {other.name}: not known")
    detail = f"{here.name}: {here.role} of epoch {here.epoch}, {other.name}: {other.role} of epoch {other.epoch}"
    twice = here.role == other.role == "primary"
    hint = "the one with the lower epoch has to follow: isthmus recovery failback"
    return Check("roles", not twice, detail, hint)
