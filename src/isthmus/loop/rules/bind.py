"""Binding: every parameter gets its value, every rule's name becomes its condition, and nothing stays open."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from isthmus.core.errors import InputError, UnknownName
from isthmus.core.evaluation import fold
from isthmus.core.expression import Expression, Literal, Parameter, RuleName, transform
from isthmus.core.kinds import Value
from isthmus.loop.rules.rule import Rule, RuleParameter, shown


@dataclass(frozen=True, slots=True)
class BoundParameter:
    """The value of a parameter; `name` is `rule.parameter`, `given` tells that it is not the default."""

    name: str
    value: Value
    unit: str
    about: str
    given: bool

    def __str__(self) -> str:
        return f"{self.name} = {shown(self.value)}" + (f" {self.unit}" if self.unit else "")


@dataclass(frozen=True, slots=True)
class BoundPart:
    """One rule that takes part, with its own condition, bound."""

    name: str
    about: str
    expression: Expression


@dataclass(frozen=True, slots=True)
class BoundRule:
    """A rule or a combination of rules, ready to be asked of scenes.

    `parts` are the rules that take part, in the order of the text, those they are made of after them.
    """

    text: str
    parameters: tuple[BoundParameter, ...]
    expression: Expression
    parts: tuple[BoundPart, ...]

    @property
    def explanation(self) -> str:
        """One line for each rule that takes part, and one for the condition as a whole."""
        lines = [f"{part.name}: {part.about}" for part in self.parts]
        chosen = "; ".join(str(parameter) for parameter in self.parameters)
        return "\n".join([*lines, f"where {self.expression}" + (f" ({chosen})" if chosen else "")])


def bind(text: str, expression: Expression, rules: Mapping[str, Rule], settings: Mapping[str, Value]) -> BoundRule:
    """Bind an expression over rules and fields. Raises UnknownName and InputError for settings that do not fit."""
    used = _used(expression, rules)
    chosen = _chosen([rules[name] for name in used], settings, text)
    conditions: dict[str, Expression] = {}

    def inlined(node: Expression, rule: str | None) -> Expression:
        if isinstance(node, Parameter):
            return Literal(chosen[f"{rule}.{node.name}"].value)
        return condition(node.name) if isinstance(node, RuleName) else node

    def condition(name: str) -> Expression:
        if name not in conditions:
            conditions[name] = transform(rules[name].expression, lambda node: inlined(node, name))
        return conditions[name]

    whole = fold(transform(expression, lambda node: inlined(node, None)))
    parts = tuple(BoundPart(name, rules[name].about, fold(condition(name))) for name in used)
    return BoundRule(text.strip(), tuple(chosen.values()), whole, parts)


def rules_in(expression: Expression) -> tuple[str, ...]:
    """The rules that an expression names, each once, in order."""
    return tuple(dict.fromkeys(node.name for node in expression.walk() if isinstance(node, RuleName)))


def _used(expression: Expression, rules: Mapping[str, Rule]) -> tuple[str, ...]:
    """All rules that take part, directly or through others, each before those it is made of."""
    found: dict[str, None] = {}
    waiting = list(rules_in(expression))
    while waiting:
        name = waiting.pop(0)
        if name not in found:
            found[name] = None
            waiting = [*rules_in(rules[name].expression), *waiting]
    return tuple(found)


def _chosen(used: Sequence[Rule], settings: Mapping[str, Value], text: str) -> dict[str, BoundParameter]:
    open_to: dict[str, RuleParameter] = {
        f"{rule.name}.{parameter.name}": parameter for rule in used for parameter in rule.parameters
    }
    given: dict[str, Value] = {}
    for key, value in settings.items():
        name = _meant(key, open_to, text)
        if name in given:
            raise InputError(f"{name} is set twice", "set it once")
        given[name] = open_to[name].value(value, key)
    return {
        name: BoundParameter(name, given.get(name, own.default), own.unit, own.about, name in given)
        for name, own in open_to.items()
    }


def _meant(key: str, open_to: Iterable[str], text: str) -> str:
    """Return the full name of the parameter that `key` means."""
    full = list(open_to)
    if key in full:
        return key
    meant = [name for name in full if name.split(".", 1)[1] == key]
    if len(meant) > 1:
        raise InputError(f"parameter {key!r} is ambiguous in {text!r}", f"write {' or '.join(meant)}")
    if not meant:
        known = full if "." in key else [name.split(".", 1)[1] for name in full]
        raise UnknownName.among(f"parameter of {text!r}:", key, known)
    return meant[0]
