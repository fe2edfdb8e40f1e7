"""What the tables of two sites must hold, as plain dictionaries: the oracle of the model of recovery.

It knows nothing of versions, files, bundles or positions; only of rows, columns, names and who is whose standby.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from isthmus.recovery.objects import Object

KEY = "id"
Value = int | float | str | None
Content = tuple[tuple[tuple[str, str], ...], frozenset[tuple[str, tuple[Value, ...]]]]
"""Columns beside the key, as name and type, and the rows: key and values."""


@dataclass
class Sheet:
    """A table as the oracle has it. `identity` is what the warehouse gave it when it was made."""

    identity: str
    columns: list[tuple[str, str]]
    rows: dict[str, tuple[Value, ...]] = field(default_factory=dict)

    def copy(self) -> Sheet:
        return Sheet(self.identity, list(self.columns), dict(self.rows))

    @property
    def content(self) -> Content:
        return tuple(self.columns), frozenset(self.rows.items())

    def add(self, name: str, kind: str, fill: Value) -> None:
        self.columns.append((name, kind))
        self.rows = {key: (*values, fill) for key, values in self.rows.items()}

    def rename(self, at: int, to: str) -> None:
        self.columns[at] = to, self.columns[at][1]

    def drop(self, at: int) -> None:
        del self.columns[at]
        self.rows = {key: (*values[:at], *values[at + 1 :]) for key, values in self.rows.items()}

    def retype(self, at: int, to: str) -> None:
        make = {"float": float, "string": str}[to]
        self.columns[at] = self.columns[at][0], to
        self.rows = {
            key: (*values[:at], None if values[at] is None else make(values[at]), *values[at + 1 :])
            for key, values in self.rows.items()
        }


Sheets = dict[str, Sheet]


def aside(name: str) -> bool:
    """Tell whether a table was kept aside by a failback."""
    return ".quarantine." in name


def copied(sheets: Sheets) -> Sheets:
    return {name: sheet.copy() for name, sheet in sheets.items()}


def contents(sheets: Sheets) -> dict[str, tuple[str, Content]]:
    """What a reader of all tables sees: by name the identity and the content."""
    return {name: (sheet.identity, sheet.content) for name, sheet in sheets.items()}


@dataclass
class Sealed:
    """A barrier as it was sealed: its tables, and how many were sealed before it, by anybody."""

    order: int
    tables: Sheets
    objects: frozenset[Object]
    """What was published then, in its own words."""


@dataclass
class Expected:
    """What one site must show.

    `own` are the tables that only this site writes; at a standby `shown` are those of the barrier `barrier`, and
    `kept` those that left the publications. `least` is the order of the barrier that may be shown at the least.
    """

    role: str
    epoch: int = 1
    own: Sheets = field(default_factory=dict)
    shown: Sheets = field(default_factory=dict)
    kept: Sheets = field(default_factory=dict)
    barrier: str = ""
    least: int = 0
    landed: int = 0
    """The number of the last restore round that was followed."""
    objects: set[Object] = field(default_factory=set)
    opted: set[str] = field(default_factory=set)
    sealed: dict[str, Sealed] = field(default_factory=dict)
    """By key, the barriers that this site sealed."""
    latest: str = ""
    """The key of the one that was sealed last in this epoch."""
    named: frozenset[Object] | None = None
    """What the primary published at the shown barrier; None where this site was the one to publish last."""

    @property
    def tables(self) -> Sheets:
        return {**self.own, **self.kept, **self.shown}

    def published(self) -> Sheets:
        """The tables that the next barrier must hold."""
        return {name: sheet for name, sheet in self.own.items() if name in self.opted and self.covered(name)}

    def covered(self, name: str) -> bool:
        """Tell whether something that is published covers a table; what was kept aside stays at its site."""
        return not aside(name) and any(item.covers(Object.parse(name)) for item in self.objects)

    def publish(self, item: Object) -> None:
        """Opt in whatever is there and covered, as a publication does."""
        self.objects = {known for known in self.objects if not item.covers(known)} | {item}
        self.opted |= {name for name in self.own if item.covers(Object.parse(name)) and not aside(name)}

    def renamed(self, name: str, to: str) -> None:
        """A table keeps what was said of it under its new name; what was said of the new name stays with it."""
        self.own[to] = self.own.pop(name)
        if name in self.opted:
            self.opted = self.opted - {name} | {to}
        old, new = Object.parse(name), Object.parse(to)
        if old in self.objects:
            self.objects = self.objects - {old} | {new}

    def show(self, key: str, sealed: Sealed) -> None:
        """Go on to a barrier; tables that it does not hold any more stay as they were."""
        there = {sheet.identity for sheet in sealed.tables.values()}
        left = {name: sheet for name, sheet in self.shown.items() if sheet.identity not in there}
        self.kept = {name: one for name, one in {**self.kept, **left}.items() if name not in sealed.tables}
        self.shown, self.barrier, self.least = copied(sealed.tables), key, sealed.order
        self.named = sealed.objects

    def take_over(self, epoch: int) -> None:
        """All that is here is written here from now on; it is published as it was, but none of its own beside."""
        names = set(self.shown)
        if self.named is not None:
            self.objects = set(self.named)
        self.opted = {name for name in self.opted if not self.covered(name)} | names
        self.objects |= {Object.parse(name) for name in names if not self.covered(name)}
        self.named = None
        self.own, self.shown, self.kept = self.tables, {}, {}
        self.role, self.epoch, self.barrier, self.latest = "primary", epoch, "", ""

    def follow(self, epoch: int, barrier: str, shown: Sheets, least: int) -> None:
        """Show what lies here already, as the standby of another's epoch."""
        self.own = {name: sheet for name, sheet in self.own.items() if name not in shown}
        self.shown, self.kept, self.named = copied(shown), {}, None
        self.role, self.epoch, self.barrier, self.least, self.latest = "standby", epoch, barrier, least, ""
