"""Mining on a site: a rule or a scene to be like, in; an ID list, and on demand the complex fields, out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from isthmus.app.site import Site
from isthmus.core.errors import InputError
from isthmus.core.expression import Expression
from isthmus.core.progress import Progress
from isthmus.loop.mining.held import TABLE as SCENES
from isthmus.loop.mining.held import columns, fields_of
from isthmus.loop.mining.mine import mine
from isthmus.loop.mining.similar import comparable, similar
from isthmus.loop.rules.bind import BoundRule
from isthmus.warehouse.export import ExportManifest, export, write_export
from isthmus.warehouse.idlist import IdList
from isthmus.warehouse.olap import positions_of
from isthmus.warehouse.place import as_uri, file_system, local_path
from isthmus.warehouse.query import Reading, quoted, table_named


@dataclass(frozen=True, slots=True)
class MineAsk:
    """What to mine: scenes for which `rule` and `where` hold, or the `count` scenes most like `like`.

    `table` is another table of the OLAP, such as acquire.images: its rows are found by `where` alone.
    `suppress` leaves out scenes whose vector is nearer than this to one in the list. `out` and `export` are
    URIs of the ID list (ending in .parquet) and of a folder for the complex fields; empty means none.
    """

    rule: str = ""
    settings: Mapping[str, str] | None = None
    where: str = ""
    like: str = ""
    table: str = SCENES
    count: int = 20
    limit: int | None = None
    suppress: float | None = None
    out: str = ""
    export: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """What was mined. `rows` has the columns id, _rowid, and distance where scenes like one were asked for.

    `fields` are the simple fields that the rule and the filter speak of; `out` and `exported_to` are places, a
    local one as a plain path, empty where nothing was written.
    """

    rows: pa.Table
    considered: int
    matched: int
    suppressed: int
    explanation: str
    fields: tuple[str, ...]
    out: str = ""
    exported: ExportManifest | None = None
    exported_to: str = ""


def mine_site(site: Site, ask: MineAsk) -> Found:
    """Mine the site's scenes. Raises UnknownName, InputError and ConditionError for what cannot be asked."""
    if bool(ask.rule) + bool(ask.like) == 0 and not ask.where:
        raise InputError("there is nothing to mine by", "name a rule, --where or --like")
    _refuse_contrary(ask)
    bound = site.catalogue.bind(ask.rule, dict(ask.settings or {})) if ask.rule else None
    whole = site.tables.scenes if ask.table == SCENES else site.tables.table(ask.table)
    where = site.catalogue.where(ask.where, whole.schema) if ask.where else None
    site.tables.level()
    site.report(Progress("mine", 0))
    key = whole.schema.key
    spoken = tuple(sorted(fields_of(bound.expression if bound else None, where) - {key}))
    with site.tables.olap.read() as view:  # one reader: an ingest may publish other rows meanwhile
        version = positions_of(view)[ask.table].version
        found, said = _found(site, ask, view, bound, where, version, spoken, key)
    table = whole.at(version)
    ids = IdList.of(
        found.rows.select(["id", "_rowid"]),
        table.uri,
        table.identity,
        version,
        where="" if where is None else str(where),
        created=site.clock.now(),
        **said,
    )
    out = ids.write(ask.out) if ask.out else ""
    exported = write_export(export(table, ids), ask.export) if ask.export else None
    site.report(Progress("mine", ids.count, ids.count, "scenes"))
    return replace(found, out=plain(out), exported=exported, exported_to=plain(exported.uri) if exported else "")


def _found(
    site: Site,
    ask: MineAsk,
    view: Reading,
    bound: BoundRule | None,
    where: Expression | None,
    version: int,
    spoken: tuple[str, ...],
    key: str,
) -> tuple[Found, dict[str, Any]]:
    """Find the rows, and say for the ID list how they were found."""
    if ask.like:
        rows = similar(view, SCENES, ask.like, min(ask.count, ask.limit or ask.count), where)
        others = comparable(view, SCENES, ask.like, where)
        found = Found(rows, others, rows.num_rows, 0, f"the scenes most like {ask.like}", spoken)
        return found, {"rule": f"like {ask.like}", "parameters": {"count": ask.count}}
    mined = mine(
        view,
        ask.table,
        bound,
        where,
        warehouse=str(site.tables.name(SCENES) if ask.table == SCENES else site.tables.beside[ask.table]),
        version=version,
        limit=ask.limit,
        suppress=ask.suppress,
        key=key,
    )
    explanation = bound.explanation if bound else f"where {where}"
    found = Found(mined.ids, mined.considered, mined.matched, mined.suppressed, explanation, spoken)
    return found, {"rule": mined.rule, "parameters": dict(mined.parameters)}


def with_fields(site: Site, found: Found, most: int, table: str = SCENES) -> pa.Table:
    """Return the first `most` of what was found, with source, day and the fields that were asked about."""
    rows = found.rows.slice(0, most).drop_columns(["_rowid"])
    held = columns(site.tables.olap, table)
    key = quoted(site.tables.table(table).schema.key)
    wanted = [name for name in dict.fromkeys(("source", "day", *found.fields)) if name in held]
    if not wanted or not rows.num_rows:
        return rows
    listed = ", ".join(quoted(name) for name in wanted)
    ids = rows["id"].to_pylist()
    marks = ", ".join("?" * len(ids))
    asked = f"SELECT {key} AS id, {listed} FROM {table_named(table)} WHERE {key} IN ({marks})"
    known = site.tables.olap.query(asked, ids)
    by_id = {row["id"]: row for row in known.to_pylist()}
    for name in wanted:
        values = [by_id.get(one, {}).get(name) for one in ids]  # an ingest may have taken a row away meanwhile
        rows = rows.append_column(name, pa.array(values, known.schema.field(name).type))
    return rows


def plain(place: str) -> str:
    """Write a place for a person: a local one as its path."""
    local = local_path(place) if place else None
    return str(local) if local else place


def _refuse_contrary(ask: MineAsk) -> None:
    """Refuse what excludes each other, and places that nothing can write, before anything is asked."""
    if ask.table != SCENES and (ask.rule or ask.like or ask.suppress is not None):
        raise InputError("rules, --like and --suppress speak of scenes", f"find rows of {ask.table} by --where")
    if ask.rule and ask.like:
        raise InputError("a rule and --like exclude each other", "put the rule into --where, or leave --like out")
    if ask.settings and not ask.rule:
        raise InputError("--set is for the parameters of a rule", "name the rule, or leave --set out")
    if ask.suppress is not None and ask.like:
        raise InputError("--suppress and --like exclude each other", "leave one of them out")
    for place in filter(None, (ask.out, ask.export)):
        try:
            file_system(as_uri(place))
        except (ValueError, ImportError) as error:
            raise InputError(
                f"{place} cannot be written: {error}", "name a path, or a URI that fsspec reaches"
            ) from error
