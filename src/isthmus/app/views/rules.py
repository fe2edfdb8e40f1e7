"""The rules of a site, each with how many scenes it finds now, and what a combination of rules would find."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isthmus.app.views.opening import bound_rules, has_olap, opened, reading
from isthmus.app.views.scenes import SCENES, Sought, conditions, schema_of

if TYPE_CHECKING:
    from isthmus.app.site import Site
    from isthmus.loop.rules.bind import BoundRule


@dataclass(frozen=True, slots=True)
class ParameterShown:
    """What may be chosen in a rule; `default` is a number, text, truth or date."""

    name: str
    default: Any
    unit: str
    about: str
    minimum: float | None = None
    maximum: float | None = None


@dataclass(frozen=True, slots=True)
class RuleShown:
    """One rule. `own`: it is the site's own. `found` counts scenes; None where the OLAP lacks a field of it."""

    name: str
    about: str
    condition: str
    parameters: tuple[ParameterShown, ...]
    own: bool
    found: int | None
    of: int


@dataclass(frozen=True, slots=True)
class Counted:
    """How many scenes a rule finds among those that the rest of a filter lets through, and what it means in words.

    `table` and `where` are what `isthmus mine` would be told beside the rule.
    """

    found: int
    of: int
    explanation: str
    table: str
    rule: str
    where: str


def list_rules(toml: Path) -> tuple[RuleShown, ...]:
    """List the rules by name, with their usual parameters counted in one pass over the OLAP."""
    with opened(toml) as site:
        bound = bound_rules(site)
        found, of = _found(site, bound)
        return tuple(_shown(site, name, one, found.get(name), of) for name, one in bound.items())


def list_names(toml: Path) -> tuple[tuple[str, str], ...]:
    """List the rules by name, each with what it is about."""
    with opened(toml) as site:
        return tuple((name, site.catalogue.rule(name).about) for name in site.catalogue.names())


def count_scenes(toml: Path, sought: Sought) -> Counted:
    """Count what is sought; nothing before the first ingest. Raises UnknownName, ConditionError, InputError."""
    from isthmus.loop.mining.held import fields_of, require
    from isthmus.loop.mining.mine import mine

    with opened(toml) as site, contextlib.ExitStack() as lent:
        schema = schema_of(site, sought.table)
        bound, where = conditions(site, sought, schema)
        said = bound.explanation if bound else f"where {where}" if where else ""
        told = "" if where is None else str(where)
        if not has_olap(site):
            return Counted(0, 0, said, sought.table, sought.rule, told)
        view = lent.enter_context(reading(site))
        require(view, sought.table, fields_of(bound.expression if bound else None, where))
        mined = mine(view, sought.table, bound, where, warehouse="", version=0, limit=0, key=schema.key)
        of = mined.considered if bound else _total(view, sought.table)
        return Counted(mined.matched, of, said, sought.table, sought.rule, told)


def _found(site: Site, bound: Mapping[str, BoundRule]) -> tuple[dict[str, int], int]:
    """Count each rule's scenes; a rule that needs a field that the OLAP does not hold is left out."""
    from isthmus.loop.mining.held import columns, fields_of
    from isthmus.loop.rules.compile import compiled

    if not has_olap(site):
        return {}, 0
    with reading(site) as view:
        held = columns(view, SCENES)
        asked = {name: one for name, one in bound.items() if fields_of(one.expression) <= held}
        made = [compiled(one.expression) for one in asked.values()]
        counts = "".join(f", count(*) FILTER (WHERE {one.sql})" for one in made)
        row = view.query(f"SELECT count(*){counts} FROM {SCENES}", [v for one in made for v in one.parameters])
        figures = [int(row.column(number)[0].as_py()) for number in range(row.num_columns)]
    return dict(zip(asked, figures[1:], strict=True)), figures[0]


def _total(view: Any, table: str) -> int:
    from isthmus.warehouse.query import table_named

    return int(view.query(f"SELECT count(*) AS n FROM {table_named(table)}")["n"][0].as_py())


def _shown(site: Site, name: str, bound: BoundRule, found: int | None, of: int) -> RuleShown:
    from isthmus.loop.rules.load import BUILTIN

    rule = site.catalogue.rule(name)
    parameters = tuple(
        ParameterShown(one.name, one.default, one.unit, one.about, one.minimum, one.maximum)
        for one in rule.parameters
    )
    return RuleShown(name, rule.about, str(bound.expression), parameters, rule.file != BUILTIN, found, of)
