"""Mining on a site: a rule or a scene to be like, in; an ID list, and on demand the complex fields, out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa

from isthmus.app.site import Site
from isthmus.core.errors import InputError
from isthmus.core.progress import Progress
from isthmus.loop.mining.mine import mine
from isthmus.loop.mining.similar import similar
from isthmus.warehouse.export import ExportManifest, export, write_export
from isthmus.warehouse.idlist import IdList


@dataclass(frozen=True, slots=True)
class MineAsk:
    """What to mine: scenes for which `rule` and `where` hold, or the `count` scenes most like `like`.

    `suppress` leaves out scenes whose vector is nearer than this to one in the list. `out` and `export` are
    URIs of the ID list (ending in .parquet) and of a folder for the complex fields; empty means none.
    """

    rule: str = ""
    settings: Mapping[str, str] | None = None
    where: str = ""
    like: str = ""
    count: int = 20
    limit: int | None = None
    suppress: float | None = None
    out: str = ""
    export: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """What was mined. `rows` has the columns id, _rowid, and distance where scenes like one were asked for."""

    rows: pa.Table
    considered: int
    matched: int
    suppressed: int
    explanation: str
    out: str
    exported: ExportManifest | None


def mine_site(site: Site, ask: MineAsk) -> Found:
    """Mine the site's scenes. Raises UnknownName, InputError and ConditionError for what cannot be asked."""
    if bool(ask.rule) + bool(ask.like) == 0 and not ask.where:
        raise InputError("there is nothing to mine by", "name a rule, --where or --like")
    if ask.rule and ask.like:
        raise InputError("a rule and --like exclude each other", "put the rule into --where, or leave --like out")
    bound = site.catalogue.bind(ask.rule, dict(ask.settings or {})) if ask.rule else None
    where = site.catalogue.where(ask.where) if ask.where else None
    version = site.tables.level()
    table, olap = site.tables.scenes.at(version), site.tables.olap
    site.report(Progress("mine", 0))
    if ask.like:
        rows = similar(olap, "scenes", ask.like, ask.count, where)
        found = Found(rows, rows.num_rows, rows.num_rows, 0, f"the scenes most like {ask.like}", "", None)
        said = {"rule": f"like {ask.like}", "parameters": {"count": ask.count}}
    else:
        mined = mine(
            olap,
            "scenes",
            bound,
            where,
            warehouse=str(site.tables.name("scenes")),
            version=version,
            limit=ask.limit,
            suppress=ask.suppress,
        )
        explanation = bound.explanation if bound else f"where {where}"
        found = Found(mined.ids, mined.considered, mined.matched, mined.suppressed, explanation, "", None)
        said = {"rule": mined.rule, "parameters": dict(mined.parameters)}
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
    return Found(found.rows, found.considered, found.matched, found.suppressed, found.explanation, out, exported)
