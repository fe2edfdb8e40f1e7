"""Statistics of a table of scenes: how much there is of what, by day, source or tag."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import pyarrow as pa

from isthmus.core.errors import UnknownName
from isthmus.core.expression import Expression
from isthmus.loop.mining.held import KEY, Asked, columns, fields_of, one_moment, require
from isthmus.loop.rules.bind import BoundRule
from isthmus.loop.rules.compile import Compiled, compiled
from isthmus.warehouse.query import quoted

By = Literal["day", "source", "tag"]
_GROUPS = {
    "day": "day",
    "source": "source",
    "tag": "unnest(CASE WHEN len(tags) > 0 THEN list_distinct(tags) ELSE [NULL] END)",
}


def statistics(
    olap: Asked,
    table: str,
    by: By | None = None,
    rules: Sequence[BoundRule] = (),
    where: Expression | None = None,
) -> pa.Table:
    """Count scenes for each day, source or tag; without `by`, for all of them in one row.

    Columns: the group (null for scenes without a tag; a scene with two tags counts in both), scenes, hours and
    km driven by the egos, speed_mean in m/s (weighted by time), and for each rule `rule:TEXT`: the share of
    scenes, 0 to 1, for which it holds, null where the OLAP does not hold a field that the rule needs. Ordered by
    the group. Raises UnknownName.
    """
    if by is not None and by not in _GROUPS:
        raise UnknownName.among("group", by, _GROUPS)
    needed = {KEY, "duration_s", "distance_m", "speed_mean"} | ({"tags" if by == "tag" else by} if by else set())
    with one_moment(olap) as view:
        require(view, table, needed | fields_of(where))
        made = _statement(table, by, rules, where, columns(view, table))
        return view.query(made.sql, list(made.parameters))


def _statement(
    table: str, by: By | None, rules: Sequence[BoundRule], where: Expression | None, held: frozenset[str]
) -> Compiled:
    conditions = [_truth(rule, held) for rule in rules]
    filtered = Compiled("TRUE", ()) if where is None else compiled(where)
    picked = [
        *([f"{_GROUPS[by]} AS place"] if by else []),
        *("duration_s", "distance_m", "speed_mean"),
        *(f"{made.sql} AS rule_{number}" for number, made in enumerate(conditions)),
    ]
    figures = [
        *([f"place AS {quoted(by)}"] if by else []),
        "count(*) AS scenes",
        "coalesce(sum(duration_s), 0) / 3600 AS hours",
        "coalesce(sum(distance_m), 0) / 1000 AS km",
        "sum(speed_mean * duration_s) / nullif(sum(duration_s), 0) AS speed_mean",
        *(f"avg(CAST(rule_{n} AS DOUBLE)) AS {quoted(f'rule:{rule.text}')}" for n, rule in enumerate(rules)),
    ]
    sql = (
        f"WITH picked AS (SELECT {', '.join(picked)} FROM {quoted(table)} WHERE {filtered.sql}) "
        f"SELECT {', '.join(figures)} FROM picked" + (" GROUP BY place ORDER BY place NULLS LAST" if by else "")
    )
    return Compiled(sql, (*(value for made in conditions for value in made.parameters), *filtered.parameters))


def _truth(rule: BoundRule, held: frozenset[str]) -> Compiled:
    """A condition that is never null where its fields are held, and always null where they are not."""
    if not fields_of(rule.expression) <= held:
        return Compiled("CAST(NULL AS BOOLEAN)", ())
    made = compiled(rule.expression)
    return Compiled(f"coalesce({made.sql}, FALSE)", made.parameters)
