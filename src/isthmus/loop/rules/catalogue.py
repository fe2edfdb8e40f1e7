"""The catalogue: named rules with parameters, and how they are bound.

A name in a rule's `when` is a parameter of that rule, a simple field of scenes, or another rule; it may mean one
of them only. The files of a site extend what ships with Isthmus; a rule of the same name replaces the earlier
one, and `Catalogue.notes` says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from isthmus.core.errors import UnknownName
from isthmus.core.expression import Expression
from isthmus.core.kinds import Value
from isthmus.loop.rules.bind import BoundRule, bind
from isthmus.loop.rules.load import load_rules, resolver
from isthmus.loop.rules.parse import parse
from isthmus.loop.rules.rule import Rule
from isthmus.loop.rules.vocabulary import field_named, fields_in
from isthmus.warehouse.schema import Schema


class Catalogue:
    """Rules that were checked together. `load` is the way to one."""

    def __init__(self, rules: Mapping[str, Rule], notes: Sequence[str] = ()) -> None:
        self._rules = dict(rules)
        self.notes = tuple(notes)

    @classmethod
    def load(cls, paths: Sequence[Path] = ()) -> Catalogue:
        """Read the rules that ship with Isthmus and then the files of the site, in order.

        Raises ConfigError with all that is wrong in all files, each with file and line.
        """
        return cls(*load_rules(paths))

    def names(self) -> tuple[str, ...]:
        """The names of the rules, sorted."""
        return tuple(sorted(self._rules))

    def rule(self, name: str) -> Rule:
        """Return a rule. Raises UnknownName with the nearest."""
        if name not in self._rules:
            raise UnknownName.among("rule", name, self._rules)
        return self._rules[name]

    def bind(self, text: str, settings: Mapping[str, Value] | None = None) -> BoundRule:
        """Give a rule, or a combination such as `cut_in and not dense_traffic`, its parameters.

        `settings` are `gap_m=15` or `cut_in.gap_m=15`, values as text or number. Raises UnknownName for a rule,
        field or parameter, ConditionError for a text that is no condition, InputError for a value that does not
        fit or a parameter name that two rules have.
        """
        expression = parse(text, resolver({}, self._rules))
        return bind(text, expression, self._rules, settings or {})

    def where(self, text: str, schema: Schema | None = None) -> Expression:
        """Read a filter on the fields of scenes, or of a schema. Raises ConditionError, UnknownName for others."""
        if schema is None:
            return parse(text, field_named)
        fields = fields_in(schema)

        def named(name: str) -> Expression:
            if name not in fields:
                raise UnknownName.among("field", name, fields)
            return fields[name]

        return parse(text, named)
