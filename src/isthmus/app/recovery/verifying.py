"""Proving that both sites hold the same, and practising a restore: what the commands verify, drill and repair do.

The primary takes its sums at its last barrier and tells them with its reports; a standby that shows that barrier
holds its own against them, also over a road that brings nothing back.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from isthmus.app.recovery.roles import alone
from isthmus.app.recovery.site import RecoverySite
from isthmus.core.errors import InputError, Refused
from isthmus.recovery.barrier import Barrier
from isthmus.recovery.differences import Difference, Sums, TableSums, compare
from isthmus.recovery.drill import Drill
from isthmus.recovery.roles import RULING
from isthmus.recovery.verify import promised, sums_of
from isthmus.warehouse.name import TableName
from isthmus.warehouse.place import local_path

SUMS = "sums"
"""The note that holds what this site found at its barrier, as JSON."""


@dataclass(frozen=True, slots=True)
class Verified:
    """What came of verifying: a line for each table, what differs, and all of it in a sentence."""

    rows: tuple[tuple[Any, ...], ...]
    differences: tuple[Difference, ...]
    sentence: str


def verified(site: RecoverySite, rows: bool) -> Verified:
    """Hold this site's tables against the barrier, and against the other's sums where those are of the same one.

    `rows` sums the rows too. Raises InputError where there is no barrier yet.
    """
    rules = site.pair.fence.role in RULING
    barrier = site.backup.barrier() if rules else site.landing.barrier()
    if barrier is None:
        raise InputError("there is no barrier yet to verify at", "take a round: isthmus recovery backup")
    theirs = told_at(site, barrier)
    found = sums_of(barrier, folders_of(site, barrier), decode=None if rows or any(_rows(theirs)) else ())
    differences = compare(promised(barrier), found)
    if theirs:
        differences += [one for one in compare(theirs, _without_files(found)) if one.name in theirs]
    if rules:
        site.notes.put(**{SUMS: json.dumps(_json_of(barrier, found))})
        site.pair.tell(site.clock.now())
    wrong = {one.name: str(one) for one in differences}
    lines = tuple(
        (
            table.name,
            table.version,
            rows_of.count if (rows_of := found[table.name].rows) else table.rows,
            wrong.get(table.name, "as it should be"),
        )
        for table in sorted(barrier.tables.values(), key=lambda one: one.name)
    )
    against = f"the barrier {barrier.key}" + (f" and the sums of {site.part.peer}" if theirs else "")
    if differences:
        sentence = f"{len(wrong)} of {len(lines)} tables differ from {against}"
    else:
        sentence = f"all tables ({len(lines)}) are as {against} say" + ("s" if not theirs else "")
    return Verified(lines, tuple(differences), sentence)


def told_at(site: RecoverySite, barrier: Barrier) -> dict[str, TableSums]:
    """Return the sums of rows that the other site told, where they are of this barrier; else nothing.

    It tells those of tables whose rows it summed; of the others there is nothing to hold against.
    """
    other = site.pair.other()
    value = other.verify if other else {}
    if value.get("key") != barrier.key:
        return {}
    try:
        told = map(TableSums.of_json, value["tables"])
        return {one.name: one for one in told if one.rows is not None or one.error}
    except (KeyError, ValueError, TypeError):
        return {}


def own_sums(site: RecoverySite) -> dict[str, Any]:
    """Return what this site tells of its sums with its reports; nothing where it took none at its barrier."""
    text, barrier = site.notes[SUMS], site.backup.barrier()
    value: dict[str, Any] = json.loads(text) if text else {}
    return value if barrier is not None and value.get("key") == barrier.key else {}


def drilled(
    site: RecoverySite, into: Path | None, keep: bool, report: Path | None
) -> tuple[list[tuple[str, str]], Path]:
    """Restore the shown barrier to a scratch copy; return what was found, and where the signed report lies."""
    barrier = site.landing.barrier()
    if barrier is None or site.pair.fence.role != "standby":
        raise Refused("this site shows no barrier: a drill restores what a standby shows", "run it at the standby")
    place = report or site.lists / f"drill-{barrier.key}.json"
    place.parent.mkdir(parents=True, exist_ok=True)
    done = Drill(
        barrier,
        folders_of(site, barrier),
        into or site.folder / "drill",
        site.config.site.name,
        site.clock,
        told_at(site, barrier),
        keep,
    ).run(place, site.key)
    told = [
        ("barrier", f"{barrier.key}, {len(barrier.tables)} tables"),
        ("result", done.outcome + (f": {done.error}" if done.error else "")),
        ("files", f"{done.files}, {done.bytes:,} bytes"),
        ("recovery time (RTO)", f"{done.recovery_time_s:.2f} s"),
    ]
    if done.root:
        told.append(("scratch copy", done.root))
    return told, place


def repaired(site: RecoverySite) -> tuple[int, int]:
    """Replace damaged files by good copies that lie here; return how many were, and how many must come again."""
    return alone(site, lambda: _repaired(site))


def _repaired(site: RecoverySite) -> tuple[int, int]:
    mended = site.landing.holding.repair(lambda digest: None)
    return len(mended), len(site.landing.missing())


def folders_of(site: RecoverySite, barrier: Barrier) -> dict[str, Path]:
    """Return where the tables of a barrier lie, by identity."""
    found = {}
    for identity, table in barrier.tables.items():
        place = local_path(site.catalog.uri(TableName.parse(table.name)))
        if place is not None:
            found[identity] = place
    return found


def _rows(sums: Sums) -> Sequence[bool]:
    return [one.rows is not None for one in sums.values()]


def _without_files(sums: Sums) -> dict[str, TableSums]:
    return {name: replace(one, files=None) for name, one in sums.items()}


def _json_of(barrier: Barrier, sums: Sums) -> dict[str, Any]:
    return {"key": barrier.key, "tables": [one.to_json() | {"files": None} for one in sums.values()]}
