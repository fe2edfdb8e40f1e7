"""The first step: which scenes the run reads, and which of them the champion has not seen."""

from __future__ import annotations

import dataclasses
import datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from isthmus.core.errors import IsthmusError
from isthmus.core.progress import Progress
from isthmus.loop.forecasting.split import parts_of
from isthmus.loop.mining.lists import listed, without_rule
from isthmus.loop.mining.mine import Mined, mine
from isthmus.loop.release.card import RuleUsed
from isthmus.loop.release.registry import Model
from isthmus.loop.rules.bind import BoundRule
from isthmus.loop.runs.folder import RunFolder, write_json
from isthmus.loop.runs.ledger import Run
from isthmus.loop.runs.parts import Outcome, Parts
from isthmus.warehouse.idlist import IdList, stored_digest

TAG = "run-"
"""Begins the tags of the versions that runs read."""

_ALL = "SELECT scene_id AS id, _rowid, leak_group FROM scenes"


def select(parts: Parts, run: Run) -> Outcome:
    """Write the lists of the run: what was asked for, what is new in it, what to replay, what to test on."""
    tables, place = parts.tables, parts.place(run)
    version = tables.level(parts.report)
    parts.report(Progress("select", 0, None, "scenes"))
    bound = parts.bound(run)
    where = parts.catalogue.where(run.ask.where) if run.ask.where else None
    warehouse = str(tables.name("scenes"))
    with tables.olap.read() as view:  # one reader: an ingest may publish other rows meanwhile
        mined = mine(view, "scenes", bound, where, warehouse=warehouse, version=version)
        everything = view.query(_ALL)
    if not mined.count:
        asked = f"the rule {run.ask.rule!r}" if run.ask.rule else "the table"
        return Outcome("nothing", f"{asked} gives no scene among {mined.considered}")
    tables.scenes.at(mined.version).pin(tag_of(run))
    listed(mined, parts.clock.now()).write(place.ids)
    champion = parts.releases.registry.champion(parts.name)
    notes: dict[str, Any] = {"version": mined.version, "count": mined.count, "considered": mined.considered}
    notes["split"] = dataclasses.asdict(parts.settings.split)
    notes["rules"] = [dataclasses.asdict(used(bound))] if bound else []
    notes["digest"] = stored_digest(place.ids)
    notes["champion"] = champion.model_id if champion else ""
    notes |= _against_champion(parts, run, champion, mined, everything)
    groups = _test_groups(parts, everything)
    write_json(place.groups, groups)
    test = _test_scenes(parts, everything, groups)
    _write_list(parts, place.test, test, mined.version, "test groups")
    notes["test"] = test.num_rows
    notes["mode"] = _first_mode(run.ask.mode, champion is not None)
    return Outcome("selected", f"{mined.count} of {mined.considered} scenes; {test.num_rows} to test on", notes)


def _write_list(parts: Parts, place: str, rows: pa.Table, version: int, why: str) -> None:
    table, name = parts.tables.scenes, str(parts.tables.name("scenes"))
    without_rule(rows, why, name, version, parts.clock.now(), table.identity).write(place)


def used(bound: BoundRule) -> RuleUsed:
    """Say in plain values, as the ledger and the card hold them, which rule chose the scenes."""
    values = {
        p.name: p.value.isoformat() if isinstance(p.value, datetime.date) else p.value for p in bound.parameters
    }
    return RuleUsed(bound.text, str(bound.expression), values)


def tag_of(run: Run) -> str:
    """Name the tag that keeps the run's warehouse version from being cleaned up."""
    return f"{TAG}{run.id}"


def _first_mode(asked: str, has_champion: bool) -> str:
    if asked == "incremental" and not has_champion:
        return "full"
    if asked == "auto":
        return "incremental" if has_champion else "full"
    return asked


def _against_champion(
    parts: Parts, run: Run, champion: Model | None, mined: Mined, everything: pa.Table
) -> dict[str, Any]:
    """Write the lists `fresh` and `old` where the champion has seen some scenes and not others."""
    if champion is None:
        return {"fresh": 0, "old": 0}
    try:
        seen = _seen_by(parts, champion)
    except (IsthmusError, OSError) as error:
        return {"fresh": 0, "old": 0, "unknown": f"the champion's ID list cannot be read: {error}"}
    place, ids = parts.place(run), mined.ids
    fresh = ids.filter(pc.invert(pc.is_in(ids["id"], value_set=seen)))
    seen_now = everything.filter(pc.is_in(everything["id"], value_set=seen))
    old = seen_now.filter(pc.invert(pc.is_in(seen_now["id"], value_set=ids["id"].combine_chunks())))
    if not fresh.num_rows or fresh.num_rows == ids.num_rows:
        fresh = fresh.slice(0, 0)  # all or nothing is new: the whole list is what is learned from
    elif not old.num_rows:
        old = seen_now
    for table, name in ((fresh, "fresh"), (old.select(["id", "_rowid"]), "old")):
        if table.num_rows:
            _write_list(parts, getattr(place, name), table, mined.version, f"{name} to the champion")
    return {"fresh": fresh.num_rows, "old": old.num_rows}


def _seen_by(parts: Parts, champion: Model) -> pa.Array:
    """Return the ids that a model was trained on: those of its list, and of the models that it started from.

    The list is looked for in the folder of the model's run first: the place on the card is that of the site
    before it was moved.
    """
    ids: list[pa.ChunkedArray] = []
    model: Model | None = champion
    while model is not None:
        card = model.card
        own = RunFolder(parts.folder / card.run_id).ids
        try:
            known = own if stored_digest(own) == card.id_list_digest else card.id_list
        except (IsthmusError, OSError):
            known = card.id_list
        ids.append(IdList.read(known).ids)
        model = parts.releases.registry.get(card.parent) if card.parent else None
    return pc.unique(pa.chunked_array([chunk for found in ids for chunk in found.chunks], pa.string()))


def _test_groups(parts: Parts, everything: pa.Table) -> list[str]:
    """Choose the leak groups that test, among all of the table and not only among those asked for."""
    counts = everything.group_by("leak_group").aggregate([([], "count_all")])
    sizes = dict(zip(counts["leak_group"].to_pylist(), counts["count_all"].to_pylist(), strict=True))
    split = parts_of(sizes, parts.settings.split)
    return sorted(group for group, part in split.items() if part == "test")


def _test_scenes(parts: Parts, everything: pa.Table, groups: list[str]) -> pa.Table:
    """Choose the scenes of the test groups, a fixed sample of them where there are too many."""
    wanted = pa.array(groups, pa.string())
    test = everything.filter(pc.is_in(everything["leak_group"], value_set=wanted)).select(["id", "_rowid"])
    most = parts.settings.evaluation.scenes
    if test.num_rows <= most:
        return test
    every = test.num_rows / most
    return test.take(pa.array([int(number * every) for number in range(most)]))
