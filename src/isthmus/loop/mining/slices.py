"""Which slices of an evaluation a scene belongs to: `rule:NAME`, `tag:NAME`, `source:NAME`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from isthmus.loop.mining.held import KEY, TABLE, Asked, columns, fields_of, one_moment, require
from isthmus.loop.rules.bind import BoundRule
from isthmus.loop.rules.compile import compiled
from isthmus.warehouse.query import quoted

if TYPE_CHECKING:
    from isthmus.loop.rules.catalogue import Catalogue


def slices(
    olap: Asked, ids: Sequence[str], catalogue: Catalogue, rules: Sequence[str | BoundRule], table: str = TABLE
) -> dict[str, tuple[str, ...]]:
    """Say for each scene which slices it belongs to: its rules in the order asked, its tags, its source.

    A rule given by its text has its default parameters. A rule that is null for a scene does not hold. Scenes
    that are not in the OLAP are not in the answer, nor are rules whose fields it does not hold. Raises
    UnknownName, ConditionError for a rule.
    """
    bound = [rule if isinstance(rule, BoundRule) else catalogue.bind(rule) for rule in rules]
    with one_moment(olap) as view:
        there = columns(view, table)
        if not {KEY, "source", "tags"} <= there:
            require(view, table, {KEY, "source", "tags"})
        bound = [rule for rule in bound if fields_of(rule.expression) <= there]
        conditions = [compiled(rule.expression) for rule in bound]
        truths = [f"coalesce({made.sql}, FALSE) AS rule_{number}" for number, made in enumerate(conditions)]
        found = view.query(
            f"SELECT {', '.join([KEY, 'source', 'tags', *truths])} FROM {quoted(table)} "
            f"WHERE {KEY} IN (SELECT unnest(?::VARCHAR[]))",
            [*(value for made in conditions for value in made.parameters), list(ids)],
        )
    held = [found[f"rule_{number}"].to_pylist() for number in range(len(bound))]
    named: dict[str, tuple[str, ...]] = {}
    rows = zip(found[KEY].to_pylist(), found["source"].to_pylist(), found["tags"].to_pylist(), strict=True)
    for row, (scene_id, source, tags) in enumerate(rows):
        names = [f"rule:{rule.text}" for rule, holds in zip(bound, held, strict=True) if holds[row]]
        names += [f"tag:{tag}" for tag in dict.fromkeys(tags or ())]
        named[scene_id] = (*names, f"source:{source}")
    return named
