"""Reads the files of a catalogue, checks their rules one by one and together, and reports all mistakes at once."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from isthmus.core.errors import ConditionError, ConfigError, InputError, Mistake, UnknownName
from isthmus.core.expression import Expression, Parameter, RuleName
from isthmus.core.plain import is_plain
from isthmus.core.settings import Reader, setting
from isthmus.loop.fields import SCENES
from isthmus.loop.rules.bind import rules_in
from isthmus.loop.rules.parse import Resolve, parse
from isthmus.loop.rules.rule import Rule, RuleParameter
from isthmus.loop.rules.vocabulary import FIELDS, field_named

BUILTIN = "builtin.toml"
_NAMES = "use lower-case letters, digits and _, beginning with a letter, and no word of SQL"


@dataclass(frozen=True, slots=True)
class _ParameterTable:
    """`[rule.NAME.parameters.PARAMETER]` as it stands in the file."""

    default: Any = setting("the value where none is set")
    about: str = setting("what it means, in one line")
    unit: str = setting("its unit", default="")
    minimum: float | None = setting("least value allowed", default=None)
    maximum: float | None = setting("greatest value allowed", default=None)


@dataclass(frozen=True, slots=True)
class _RuleTable:
    """`[rule.NAME]` as it stands in the file."""

    about: str = setting("what the rule finds, in one line")
    when: str = setting("the condition, in SQL expression syntax")
    parameters: Mapping[str, _ParameterTable] = setting("its parameters", factory=dict)


def load_rules(paths: Sequence[Path]) -> tuple[dict[str, Rule], tuple[str, ...]]:
    """Read what ships with Isthmus and then `paths`; return the rules and notes on what was replaced.

    Raises ConfigError with all that is wrong in all files, each with file and line.
    """
    loading = _Loading()
    loading.add(BUILTIN, resources.files("isthmus.loop.rules").joinpath(BUILTIN).read_text("utf-8"))
    for path in paths:
        try:
            loading.add(str(path), path.read_text("utf-8-sig"))
        except OSError as error:
            what = f"cannot be read: {error.strerror}; correct [rules] files in the site's TOML"
            loading.mistakes.append(Mistake(str(path), None, what))
        except UnicodeDecodeError as error:
            what = f"is no UTF-8 text (byte {error.start}); save it as UTF-8"
            loading.mistakes.append(Mistake(str(path), None, what))
    return loading.rules()


def resolver(parameters: Mapping[str, RuleParameter], rules: Collection[str]) -> Resolve:
    """Say what names mean in a condition that may speak of parameters, rules and fields."""

    def resolve(name: str) -> Expression:
        if name in parameters:
            return Parameter(name, parameters[name].type)
        if name in rules:
            return RuleName(name)
        if name in SCENES.names:
            return field_named(name)
        kind = "parameter, field or rule" if parameters else "rule or field"
        raise UnknownName.among(kind, name, (*parameters, *FIELDS, *rules))

    return resolve


@dataclass(frozen=True, slots=True)
class _Declared:
    """A rule as one file declares it, before its condition is read."""

    name: str
    table: _RuleTable
    reader: Reader
    text: str
    parameters: Mapping[str, RuleParameter]

    def line(self, *path: str) -> int | None:
        """The line of a key of this rule."""
        return self.reader.line(("rule", self.name, *path))

    def mistake(self, what: str, *path: str) -> Mistake:
        """Say that a key of this rule is wrong."""
        return Mistake(self.reader.file, self.line(*path), what)


class _Loading:
    """Gathers the rules of several files and all that is wrong with them."""

    def __init__(self) -> None:
        self.mistakes: list[Mistake] = []
        self._declared: dict[str, _Declared] = {}
        self._notes: list[str] = []
        self._unfit: set[str] = set()

    def add(self, file: str, text: str) -> None:
        """Read the tables of one file."""
        try:
            reader = Reader(text, file)
        except ConfigError as error:
            self.mistakes += error.mistakes
            return
        for key in reader.root:
            if key != "rule":
                reader.mistake(
                    _first_line(reader, key), f"unknown key {key!r} in the file; rules are tables [rule.NAME]"
                )
        tables = reader.root.get("rule", {})
        if isinstance(tables, dict):
            for name, raw in tables.items():
                self._add_rule(reader, text, name, raw)
        else:
            reader.mistake(("rule",), "rule must be a table; write [rule.NAME]")
        self.mistakes += reader.mistakes

    def rules(self) -> tuple[dict[str, Rule], tuple[str, ...]]:
        """Read all conditions and check how the rules fit together. Raises ConfigError."""
        self._names_mean_one_thing()
        rules = {name: rule for name, own in self._declared.items() if (rule := self._rule(own))}
        if not self.mistakes:
            self._no_cycles(rules)
        if self.mistakes:
            raise ConfigError(sorted(self.mistakes, key=lambda mistake: (mistake.file, mistake.line or 0)))
        return rules, tuple(self._notes)

    def _add_rule(self, reader: Reader, text: str, name: str, raw: Any) -> None:
        path = ("rule", name)
        if not _speakable(name):
            reader.mistake(path, f"{name!r} is no rule name; {_NAMES}")
        table = reader.read(_RuleTable, raw, path)
        if table is None:
            return
        parameters = {}
        for own, told in table.parameters.items():
            where = (*path, "parameters", own)
            if not _speakable(own):
                reader.mistake(where, f"{own!r} is no parameter name; {_NAMES}")
            try:
                parameters[own] = RuleParameter(
                    own, told.default, told.about, told.unit, told.minimum, told.maximum
                )
            except InputError as error:
                reader.mistake(where, str(error))
                self._unfit.add(name)
        if replaced := self._declared.get(name):
            line = reader.line(path)
            self._notes.append(f"{reader.file}:{line}: rule {name!r} replaces that of {replaced.reader.file}")
        self._declared[name] = _Declared(name, table, reader, text, parameters)

    def _names_mean_one_thing(self) -> None:
        for own in self._declared.values():
            if own.name in FIELDS:
                self.mistakes.append(own.mistake(f"{own.name!r} is a field already; give the rule another name"))
            for name in own.parameters:
                where = ("parameters", name)
                if name in FIELDS:
                    what = f"parameter {name!r} of rule {own.name!r} is a field already; give it another name"
                    self.mistakes.append(own.mistake(what, *where))
                elif name in self._declared:
                    rule = self._declared[name]
                    what = f"{name!r} is both a rule and a parameter of rule {own.name!r}; rename one of them"
                    shipped = own.reader.file == BUILTIN  # tell of the file that the user can change
                    self.mistakes.append(rule.mistake(what) if shipped else own.mistake(what, *where))

    def _rule(self, own: _Declared) -> Rule | None:
        if own.name in self._unfit:  # told already; its condition would only repeat it
            return None
        when = own.table.when
        try:
            expression = parse(when, resolver(own.parameters, self._declared))
        except ConditionError as error:
            line = _line_within(own, error.offset or 0)
            self.mistakes.append(Mistake(own.reader.file, line, f"rule {own.name!r}: {error}"))
            return None
        used = {node.name for node in expression.walk() if isinstance(node, Parameter)}
        for name in own.parameters:
            if name not in used and name not in FIELDS and name not in self._declared:
                what = f"parameter {name!r} of rule {own.name!r} is not used in its `when`; remove one or use it"
                self.mistakes.append(own.mistake(what, "parameters", name))
        return Rule(
            own.name,
            own.table.about,
            when,
            expression,
            tuple(own.parameters.values()),
            own.reader.file,
            own.line(),
        )

    def _no_cycles(self, rules: Mapping[str, Rule]) -> None:
        done: set[str] = set()

        def visit(name: str, trail: tuple[str, ...]) -> None:
            if name in trail:
                circle = " → ".join((*trail[trail.index(name) :], name))
                what = f"rule {name!r} is made of itself: {circle}; take one of them out"
                self.mistakes.append(self._declared[name].mistake(what, "when"))
            elif name not in done:
                for other in rules_in(rules[name].expression):
                    visit(other, (*trail, name))
                done.add(name)

        for name in rules:
            visit(name, ())


def _first_line(reader: Reader, key: str) -> tuple[str, ...]:
    """The path below `key` that has a line: `[rules.x]` gives `rules` itself none."""
    path: tuple[str, ...] = (key,)
    value = reader.root[key]
    while reader.line(path) is None and isinstance(value, dict) and value:
        inner = next(iter(value))
        path, value = (*path, inner), value[inner]
    return path


def _speakable(name: str) -> bool:
    """Tell whether a condition can speak of this name without quotes."""
    try:
        return is_plain(name) and name[0] != "_" and parse(name, RuleName) == RuleName(name)
    except ConditionError:
        return False


def _line_within(own: _Declared, offset: int) -> int | None:
    """The line of the file on which an offset of the `when` text lies."""
    first = own.line("when")
    if first is None:
        return None
    raw = own.text.splitlines()[first - 1]
    opened = re.search(r"=\s*(\"\"\"|''')\s*$", raw)  # TOML drops a line break right after the quotes
    return first + (1 if opened else 0) + own.table.when.count("\n", 0, offset)
