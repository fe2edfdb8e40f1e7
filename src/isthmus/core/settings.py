"""Reads TOML tables into frozen dataclasses and reports every mistake at once, each with its line.

A settings class is an ordinary frozen dataclass. A field made by `setting()` also says what it means and
which values it takes. Types understood: bool, int, float, str, datetime.date, Literal, X | None,
tuple[X, ...], Mapping[str, X], and settings classes of their own.
"""

from __future__ import annotations

import dataclasses
import datetime
import re
import tomllib
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

from isthmus.core.errors import ConfigError, Mistake, suggestion

T = TypeVar("T")

_RULE = "isthmus.setting"


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a value must hold to, and what it means. A `path` that is relative starts from the file's folder."""

    help: str
    minimum: float | None = None
    maximum: float | None = None
    unit: str = ""
    path: bool = False


def setting(
    help: str,
    *,
    default: Any = dataclasses.MISSING,
    factory: Any = dataclasses.MISSING,
    minimum: float | None = None,
    maximum: float | None = None,
    unit: str = "",
    path: bool = False,
) -> Any:
    """Declare a field of a settings class; without a default the key is required."""
    metadata = {_RULE: Bounds(help, minimum, maximum, unit, path)}
    if factory is not dataclasses.MISSING:
        return field(default_factory=factory, metadata=metadata)
    return field(default=default, metadata=metadata)


class Lines:
    """Finds the line on which a key of a TOML text stands (good for messages, not a parser)."""

    _HEADER = re.compile(r"^\s*\[\[?\s*([^\]]+?)\s*\]\]?\s*(?:#.*)?$")
    _KEY = re.compile(
        r"^\s*((?:[A-Za-z0-9_-]+|\"[^\"]*\"|'[^']*')(?:\s*\.\s*(?:[A-Za-z0-9_-]+|\"[^\"]*\"|'[^']*'))*)\s*="
    )

    def __init__(self, text: str) -> None:
        self._at: dict[tuple[str, ...], int] = {}
        table: tuple[str, ...] = ()
        for number, line in enumerate(text.splitlines(), 1):
            if header := self._HEADER.match(line):
                table = self._parts(header[1])
                self._at.setdefault(table, number)
            elif key := self._KEY.match(line):
                self._at.setdefault(table + self._parts(key[1]), number)

    def of(self, path: tuple[str, ...]) -> int | None:
        """Return the line of the key at `path`, or of the nearest table around it."""
        while path:
            if path in self._at:
                return self._at[path]
            path = path[:-1]
        return None

    @staticmethod
    def _parts(dotted: str) -> tuple[str, ...]:
        return tuple(part.strip().strip("\"'") for part in re.findall(r"\"[^\"]*\"|'[^']*'|[^.]+", dotted))


class Reader:
    """Reads tables of one TOML text and gathers its mistakes; `finish()` raises them together."""

    def __init__(self, text: str, file: str, folder: str = "") -> None:
        """Parse `text`. `file` names it in messages; relative paths in it start from `folder`."""
        self.file = file
        self.folder = folder
        self.mistakes: list[Mistake] = []
        self._lines = Lines(text)
        try:
            self.root: dict[str, Any] = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            found = re.search(r"line (\d+)", str(error))
            what = re.sub(r"\s*\(at line.*\)$", "", str(error))
            raise ConfigError(
                [Mistake(file, int(found[1]) if found else None, f"not valid TOML: {what}")]
            ) from error

    def mistake(self, path: tuple[str, ...], what: str) -> None:
        """Note that the key at `path` is wrong."""
        self.mistakes.append(Mistake(self.file, self._lines.of(path), what))

    def line(self, path: tuple[str, ...]) -> int | None:
        """Return the line of the key at `path`, for messages made later."""
        return self._lines.of(path)

    def read(self, cls: type[T], table: Any, path: tuple[str, ...]) -> T | None:
        """Read `table` into `cls`; returns None (and notes mistakes) where that cannot be done."""
        where = ".".join(path) or "the file"
        if not isinstance(table, dict):
            self.mistake(path, f"{where} must be a table, not {_shown(table)}")
            return None
        hints = typing.get_type_hints(cls)
        fields = {item.name: item for item in dataclasses.fields(cls) if item.init}  # type: ignore[arg-type]
        before = len(self.mistakes)
        for key in table:
            if key not in fields:
                self.mistake((*path, key), f"unknown key {key!r} in {where}; {suggestion(key, fields)}")
        values: dict[str, Any] = {}
        for name, item in fields.items():
            if name in table:
                values[name] = self._value(table[name], hints[name], (*path, name), item.metadata.get(_RULE))
            elif item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING:
                rule = item.metadata.get(_RULE)
                self.mistake(path, f"{where} lacks the key {name!r}" + (f": {rule.help}" if rule else ""))
        if len(self.mistakes) > before:
            return None
        try:
            return cls(**values)
        except ValueError as error:  # a rule between several fields, told by the class itself
            self.mistake(path, f"{where}: {error}")
            return None

    def finish(self) -> None:
        """Raise ConfigError with all mistakes noted so far, in the order of their lines."""
        if self.mistakes:
            raise ConfigError(sorted(self.mistakes, key=lambda mistake: mistake.line or 0))

    def _value(self, value: Any, hint: Any, path: tuple[str, ...], rule: Bounds | None) -> Any:
        origin, arguments = typing.get_origin(hint), typing.get_args(hint)
        if origin in (typing.Union, types.UnionType):
            return self._value(value, next(a for a in arguments if a is not type(None)), path, rule)
        if hint is Any:
            return value
        if origin is Literal:
            if value not in arguments:
                allowed = ", ".join(repr(choice) for choice in arguments)
                self.mistake(path, f"{path[-1]} is {_shown(value)}; allowed: {allowed}")
            return value
        if origin is tuple:
            if not isinstance(value, list):
                return self._wrong(path, "a list", value)
            return tuple(self._value(item, arguments[0], path, rule) for item in value)
        if origin is not None and isinstance(origin, type) and issubclass(origin, Mapping):
            if not isinstance(value, dict):
                return self._wrong(path, "a table", value)
            return {key: self._value(item, arguments[1], (*path, key), rule) for key, item in value.items()}
        if dataclasses.is_dataclass(hint) and isinstance(hint, type):
            return self.read(hint, value, path)
        return self._scalar(value, hint, path, rule)

    def _scalar(self, value: Any, hint: type, path: tuple[str, ...], rule: Bounds | None) -> Any:
        if hint is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        words = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}
        words[datetime.date] = "a date such as 2026-11-20"
        if type(value) is not hint:
            return self._wrong(path, words.get(hint, hint.__name__), value)
        if rule and isinstance(value, (int, float)) and not isinstance(value, bool):
            low, high = rule.minimum, rule.maximum
            if not (low is None or value >= low) or not (high is None or value <= high) or value != value:
                self.mistake(path, f"{path[-1]} is {value}; allowed: {_range(low, high)}{_unit(rule.unit)}")
        if rule and rule.path and isinstance(value, str) and self.folder and "://" not in value:
            return str(Path(self.folder) / Path(value).expanduser()) if value else value
        return value

    def _wrong(self, path: tuple[str, ...], wanted: str, value: Any) -> None:
        self.mistake(path, f"{path[-1]} must be {wanted}, not {_shown(value)}")


def describe(cls: type) -> Iterator[tuple[str, str, str]]:
    """List the keys of a settings class as (key, default as text, meaning), for help texts and docs."""
    for item in dataclasses.fields(cls):
        rule = item.metadata.get(_RULE)
        if item.default is not dataclasses.MISSING:
            default = repr(item.default)
        elif item.default_factory is not dataclasses.MISSING:
            default = repr(item.default_factory())
        else:
            default = "required"
        yield item.name, default, (rule.help + _unit(rule.unit)) if rule else ""


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"


def _unit(unit: str) -> str:
    return f" ({unit})" if unit else ""


def _range(low: float | None, high: float | None) -> str:
    if low is None:
        return f"at most {high}"
    return f"at least {low}" if high is None else f"{low} to {high}"
