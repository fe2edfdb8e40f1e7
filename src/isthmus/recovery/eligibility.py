"""Which tables recovery can keep on another site, why others are not eligible, and which of them are opted in.

A table is opted in by its name and its identity: one that is renamed stays opted in under its new name, one that
is dropped and made again under its old name too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from isthmus.core.errors import Corrupt, InputError, UnknownName, suggestion
from isthmus.recovery.barrier import TableAt
from isthmus.recovery.fork import SCHEMA as ASIDE
from isthmus.state.store import Store
from isthmus.warehouse.catalog import Catalog
from isthmus.warehouse.name import TableName
from isthmus.warehouse.place import file_system, local_path
from isthmus.warehouse.schema import FieldType, Schema
from isthmus.warehouse.table import Table

Why = Literal["place", "name", "unreadable", "schema", "identity", "copy", "clone", "branches", "row ids", "aside"]
"""Kinds of reasons why a table is not eligible."""

ROOM = "recovery names"
STEPS = (
    """
    CREATE TABLE recovery_opted (name TEXT PRIMARY KEY, identity TEXT NOT NULL, distribution TEXT NOT NULL);
    CREATE TABLE recovery_publication (name TEXT PRIMARY KEY);
    CREATE TABLE recovery_member (
        publication TEXT NOT NULL REFERENCES recovery_publication (name) ON DELETE CASCADE ON UPDATE CASCADE,
        object TEXT NOT NULL,
        identity TEXT NOT NULL,
        PRIMARY KEY (publication, object)
    )
    """,
)
_KEYS = frozenset({FieldType.STRING, FieldType.INT, FieldType.BOOL, FieldType.DATE, FieldType.TIMESTAMP})
_SUFFIX = ".lance"
_TRIES = 4


@dataclass(frozen=True, slots=True)
class Distribution:
    """How the files of a table are spread over shards: `hash` by a column `key`, `roundrobin`, or `replicated`."""

    kind: Literal["hash", "roundrobin", "replicated"]
    key: str = ""

    @classmethod
    def parse(cls, text: str) -> Distribution:
        """Read `hash(KEY)`, `roundrobin` or `replicated`. Raises InputError."""
        plain = text.strip()
        word, bracket, rest = plain.partition("(")
        if word.strip().lower() == "hash" and bracket and rest.endswith(")") and rest[:-1].strip():
            return cls("hash", rest[:-1].strip())
        if plain.lower() == "roundrobin":
            return cls("roundrobin")
        if plain.lower() == "replicated":
            return cls("replicated")
        raise InputError(f"{text!r} is no distribution", "write hash(COLUMN), roundrobin or replicated")

    def check(self, schema: Schema) -> None:
        """Raise UnknownName or InputError where the column is not there or cannot be hashed."""
        if self.kind != "hash":
            return
        if self.key not in schema.names:
            raise UnknownName.among("column", self.key, schema.names)
        if schema[self.key].type not in _KEYS:
            fits = [item.name for item in schema.fields if item.type in _KEYS]
            raise InputError(
                f"the column {self.key!r} is {schema[self.key].type.value}: no key of a distribution",
                f"fitting columns: {', '.join(fits)}",
            )

    def fits(self, schema: Schema) -> bool:
        """Tell whether `check` has nothing to say."""
        try:
            self.check(schema)
        except InputError:
            return False
        return True

    def __str__(self) -> str:
        return f"hash({self.key})" if self.kind == "hash" else self.kind


@dataclass(frozen=True, slots=True)
class Ineligible:
    """Why a table cannot be kept on another site: the kind of reason, the reason, and what to do."""

    name: str
    why: Why
    what: str
    hint: str

    def __str__(self) -> str:
        return f"{self.what}; {self.hint}"


@dataclass(frozen=True, slots=True)
class Eligible:
    """A table that can be kept on another site."""

    name: str
    identity: str
    schema: Schema


@dataclass(frozen=True, slots=True)
class Survey:
    """All tables of a warehouse, judged. Both mappings are by full name, in its order."""

    eligible: Mapping[str, Eligible] = field(default_factory=dict)
    ineligible: Mapping[str, Ineligible] = field(default_factory=dict)

    @property
    def identities(self) -> dict[str, str]:
        """The identity of each eligible table, by name."""
        return {name: table.identity for name, table in self.eligible.items()}


class Opted(NamedTuple):
    """A table that is opted in."""

    name: str
    identity: str
    distribution: str


def survey(catalog: Catalog, opted_in: Iterable[Opted] = ()) -> Survey:
    """Judge every table under the root. A table that is dropped meanwhile is left out.

    Of tables that are copies of one another only one that is opted in already is eligible.
    """
    judged = [judgement for name in catalog.names() if (judgement := _judged(catalog, name)) is not None]
    known = {(row.name, row.identity) for row in opted_in}
    bearers: dict[str, list[str]] = {}
    for table in judged:
        if isinstance(table, Eligible):
            bearers.setdefault(table.identity, []).append(table.name)
    eligible: dict[str, Eligible] = {}
    refused = {name: _misnamed(name) for name in _misnamed_folders(catalog)}
    for table in judged:
        if isinstance(table, Ineligible):
            refused[table.name] = table
        elif len(bearers[table.identity]) == 1 or (table.name, table.identity) in known:
            eligible[table.name] = table
        else:
            others = ", ".join(name for name in bearers[table.identity] if name != table.name)
            refused[table.name] = Ineligible(
                table.name,
                "copy",
                f"{table.name} is a copy of {others}: its files cannot be told from theirs",
                "make it anew from its rows, or opt in the one to keep before the copy is made",
            )
    return Survey(eligible, dict(sorted(refused.items())))


def opt_in(store: Store, catalog: Catalog, name: str, distribution: str = "") -> Opted:
    """Opt a table in, or give one that is opted in another distribution; hash(its key) where none is said.

    Raises InputError with the reason where the table is not eligible, UnknownName for a table or column.
    """
    store.migrate(ROOM, STEPS)
    known = opted(store)
    found = survey(catalog, known.values())
    if name in found.ineligible:
        reason = found.ineligible[name]
        raise InputError(reason.what, reason.hint)
    if name not in found.eligible:
        raise UnknownName.among("table", name, found.eligible)
    table = found.eligible[name]
    chosen = Distribution.parse(distribution) if distribution else default_distribution(table)
    chosen.check(table.schema)
    with store.transaction() as connection:
        row = Opted(name, table.identity, str(chosen))
        connection.execute("REPLACE INTO recovery_opted VALUES (?, ?, ?)", row)
    return row


def opt_out(store: Store, name: str) -> bool:
    """Opt a table out; tells whether it was opted in. The table may be gone already."""
    store.migrate(ROOM, STEPS)
    with store.transaction() as connection:
        return connection.execute("DELETE FROM recovery_opted WHERE name = ?", (name,)).rowcount > 0


def opted(store: Store) -> dict[str, Opted]:
    """Return what is opted in, by name. A table that was renamed since stands here under its old name."""
    store.migrate(ROOM, STEPS)
    rows = store.rows("SELECT name, identity, distribution FROM recovery_opted ORDER BY name")
    return {row["name"]: Opted(row["name"], row["identity"], row["distribution"]) for row in rows}


def default_distribution(table: Eligible) -> Distribution:
    """Return the distribution of a table that nobody said one for: by its key, where that can be hashed."""
    chosen = Distribution("hash", table.schema.key)
    return chosen if chosen.fits(table.schema) else Distribution("roundrobin")


def followed(known: Mapping[str, str], there: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Say where tables that were known by name and identity are now: by old name, the present name and identity.

    A table keeps its identity when it is renamed; one that was made again keeps its name. One that is gone stays
    under its old name, unless another that was known has that name now.
    """
    names = {identity: name for name, identity in there.items()}
    now = {old: (names[identity], identity) for old, identity in known.items() if identity in names}
    taken = {name for name, _ in now.values()}
    for old, identity in known.items():
        if old not in now and old not in taken:
            now[old] = (old, there.get(old, identity))
    return now


def _judged(catalog: Catalog, name: TableName) -> Eligible | Ineligible | None:
    text = str(name)
    if local_path(catalog.root) is None:
        return Ineligible(
            text,
            "place",
            f"{text} lies on an object store, where files cannot be linked aside",
            "publish tables of a warehouse in a folder; let the object store replicate its own",
        )
    if name.schema == ASIDE:  # it bears the identity of the table that it was kept aside of
        return Ineligible(
            text,
            "aside",
            f"{text} was kept aside by a failback, and stays at this site",
            "take from it what is wanted, and drop it; or make a table of its own from its rows",
        )
    for tries_left in reversed(range(_TRIES)):
        try:
            table = catalog.open(name)
            schema = table.schema
            return _refusal(text, table) or Eligible(text, table.identity, schema)
        except UnknownName:
            return None
        except Corrupt as error:
            return Ineligible(text, "schema", error.what, error.hint or "ingest it anew")
        except (OSError, ValueError) as error:
            if tries_left:
                continue  # a writer or a cleanup was at work
            first = str(error).splitlines()[0] if str(error) else type(error).__name__
            return Ineligible(text, "unreadable", f"{text} cannot be opened: {first}", "repair or drop it")
    raise AssertionError("unreached")


def _refusal(name: str, table: Table) -> Ineligible | None:
    dataset = table.dataset
    if dataset.base_paths():
        return Ineligible(
            name,
            "clone",
            f"{name} is a shallow clone: its files lie under an absolute path elsewhere",
            "publish the original, or make a table of its own from the rows",
        )
    if not dataset.has_stable_row_ids:
        return Ineligible(
            name, "row ids", f"{name} has no stable row ids", "make it anew with this catalogue from its rows"
        )
    try:  # what a barrier would not take
        TableAt(name, table.identity, 1, "", 0)
    except ValueError:
        return Ineligible(
            name,
            "identity",
            f"{name} has no identity that tells it from a later table of its name",
            "make it anew with this catalogue from its rows",
        )
    if dataset.branches.list():
        return Ineligible(name, "branches", f"{name} has branches, which do not travel", "delete its branches")
    return None


def _misnamed_folders(catalog: Catalog) -> list[str]:
    files, root = file_system(catalog.root, catalog.storage_options)
    found = []
    for path in files.glob(f"{root}/*/*/*{_SUFFIX}"):
        parts = str(path).rstrip("/").rsplit("/", 3)[1:]
        parts[2] = parts[2].removesuffix(_SUFFIX)
        try:
            TableName(*parts)
        except InputError:
            found.append(".".join(parts))
    return found


def _misnamed(name: str) -> Ineligible:
    return Ineligible(
        name, "name", f"{name!r} is no name of a table", "use lower-case letters, digits and _ in each part"
    )


def nearest(name: str, found: Survey) -> str:
    """Say which table is meant by a name that no table has."""
    return suggestion(name, [*found.eligible, *found.ineligible])
