"""Publications: which tables are kept on another site. They are kept in the site's state.

A publication names everything, databases, schemas or tables. Publishing them opts in every table that is eligible
then; a table that is made later travels once it is opted in itself. A table that several publications name is
published once. What could not be published is told with its reason, and written to a file that can be corrected
and handed in again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from isthmus.core.errors import InputError, UnknownName, suggestion
from isthmus.recovery import sql
from isthmus.recovery.cut import Published as Published
from isthmus.recovery.eligibility import (
    ROOM,
    STEPS,
    Distribution,
    Ineligible,
    Opted,
    Survey,
    default_distribution,
    followed,
    nearest,
    opted,
    survey,
)
from isthmus.recovery.objects import Object, write_objects
from isthmus.recovery.publist import (
    FAILED_LIST,
    PUB_LIST,
    Failure,
    Publication,
    write_failures,
    write_pub_list,
)
from isthmus.state.store import Store
from isthmus.warehouse.catalog import Catalog

CLASSIC = "disaster"
"""The publication that commands without a name speak of."""

Grants = Callable[[str], Iterable[tuple[str, str]]]
"""Returns the pairs of user and right on a table."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a statement: the objects published and withdrawn, the tables opted in, and what failed."""

    publication: str
    published: tuple[Object, ...] = ()
    withdrawn: tuple[Object, ...] = ()
    opted_in: tuple[str, ...] = ()
    failed: tuple[Failure, ...] = ()


@dataclass(frozen=True, slots=True)
class Standing:
    """What is published now, and the published tables that cannot travel as they are."""

    published: tuple[Published, ...]
    unfit: tuple[Ineligible, ...]


def create(
    store: Store, catalog: Catalog, name: str, objects: Sequence[Object], folder: Path | None = None
) -> Outcome:
    """Make a publication of those objects that can be published; of none at all where all fail.

    With a folder, `pub.list` and, where something failed, `fail_disaster_object.txt` are written there.
    Raises InputError where the publication is there already.
    """
    if any(item.name == name for item in publications(store)):
        raise InputError(f"the publication {name} is there already", "alter it, or drop it first")
    return _publish(store, catalog, name, (), objects, folder)


def alter(
    store: Store,
    catalog: Catalog,
    name: str,
    add: Sequence[Object] = (),
    drop: Sequence[Object] = (),
    force: bool = False,
    folder: Path | None = None,
) -> Outcome:
    """Withdraw `drop` from a publication, then add `add`.

    To add a part of something that the publication names already fails; with `force` the whole is withdrawn and
    the part is published in its place. Adding the whole takes the place of its parts.
    Raises UnknownName where the publication, or an object to withdraw, is not there.
    """
    before = publication(store, name).objects
    for item in drop:
        if item not in before:
            raise UnknownName.among(f"object of {name}", str(item), map(str, before))
    rest = [item for item in before if item not in drop]
    conflicts = []
    for item in add:
        wider = [known for known in rest if known != item and known.covers(item)]
        if wider and not force:
            why = f"{wider[0]} is published already and covers it; --force-alter withdraws {wider[0]} for it"
            conflicts.append(Failure(item, why))
        else:
            rest = [known for known in rest if known not in wider]
    added = [item for item in add if item not in {failure.object for failure in conflicts}]
    rest = [known for known in rest if not any(item.covers(known) for item in added)]
    return _publish(store, catalog, name, rest, added, folder, conflicts, before)


def replace(
    store: Store, catalog: Catalog, name: str, objects: Sequence[Object], folder: Path | None = None
) -> Outcome:
    """Let a publication name exactly these objects. Raises UnknownName where it is not there."""
    return _publish(store, catalog, name, (), objects, folder, before=publication(store, name).objects)


def drop(store: Store, names: Iterable[str], if_exists: bool = False) -> tuple[str, ...]:
    """Drop publications, all or none, and return which were there. Raises UnknownName."""
    known = {item.name for item in publications(store)}
    wanted = tuple(dict.fromkeys(names))
    for name in wanted:
        if name not in known and not if_exists:
            raise UnknownName.among("publication", name, known)
    with store.transaction() as connection:
        connection.executemany("DELETE FROM recovery_publication WHERE name = ?", [(name,) for name in wanted])
    return tuple(name for name in wanted if name in known)


def cancel(store: Store, objects: Iterable[Object] | None, folder: Path | None = None) -> Outcome:
    """Withdraw objects from every publication that names them; None withdraws everything.

    A publication that names nothing any more is dropped. An object that no publication names is a failure.
    """
    known = publications(store)
    named = {item for one in known for item in one.objects}
    wanted = named if objects is None else set(objects)
    failed = []
    for item in sorted(wanted - named):
        wider = sorted(known for known in named if known.covers(item))
        why = f"it is published as a part of {wider[0]}" if wider else "no publication names it"
        failed.append(Failure(item, why))
    with store.transaction() as connection:
        connection.executemany("DELETE FROM recovery_member WHERE object = ?", [(str(item),) for item in wanted])
        connection.execute(
            "DELETE FROM recovery_publication WHERE name NOT IN (SELECT publication FROM recovery_member)"
        )
    _written(store, folder, failed)
    return Outcome("", withdrawn=tuple(sorted(wanted & named)), failed=tuple(failed))


def rename(store: Store, name: str, to: str) -> None:
    """Rename a publication. Raises UnknownName, InputError where the new name is taken."""
    publication(store, name)
    with store.transaction() as connection:
        try:
            connection.execute("UPDATE recovery_publication SET name = ? WHERE name = ?", (to, name))
        except sqlite3.IntegrityError as error:
            raise InputError(f"the publication {to} is there already", "choose another name") from error


def execute(
    store: Store, catalog: Catalog, text: str, folder: Path | None = None, force: bool = False
) -> list[Outcome]:
    """Carry out statements (see `sql`), one after the other; all are read before the first is carried out.

    A name without a database belongs to the only one that there is. Raises InputError at the token that is wrong.
    """
    databases = {name.database for name in catalog.names()}
    outcomes = []
    for statement in sql.parse(text, databases.pop() if len(databases) == 1 else ""):
        match statement:
            case sql.Create(name, objects):
                outcomes.append(create(store, catalog, name, objects, folder))
            case sql.Alter(name, "ADD", objects):
                outcomes.append(alter(store, catalog, name, add=objects, force=force, folder=folder))
            case sql.Alter(name, "DROP", objects):
                outcomes.append(alter(store, catalog, name, drop=objects, folder=folder))
            case sql.Alter(name, _, objects):
                outcomes.append(replace(store, catalog, name, objects, folder))
            case sql.Rename(name, to):
                rename(store, name, to)
                _written(store, folder, ())
                outcomes.append(Outcome(to))
            case sql.Drop(names, if_exists):
                gone = drop(store, names, if_exists)
                _written(store, folder, ())
                outcomes.extend(Outcome(name) for name in gone)
    return outcomes


def publications(store: Store) -> list[Publication]:
    """List the publications, sorted by name."""
    store.migrate(ROOM, STEPS)
    found: dict[str, list[Object]] = {
        row["name"]: [] for row in store.rows("SELECT name FROM recovery_publication ORDER BY name")
    }
    for row in store.rows("SELECT publication, object FROM recovery_member"):
        found.setdefault(row["publication"], []).append(Object.parse(row["object"]))
    return [Publication(name, tuple(sorted(objects))) for name, objects in found.items()]


def publication(store: Store, name: str) -> Publication:
    """Return a publication. Raises UnknownName."""
    known = {item.name: item for item in publications(store)}
    if name not in known:
        raise UnknownName.among("publication", name, known)
    return known[name]


def nobody(table: str) -> Iterable[tuple[str, str]]:
    """Return no grants: the default where a site has no users of its own."""
    return ()


def effective(store: Store, catalog: Catalog, grants: Grants = nobody) -> list[Published]:
    """List what is to be kept on the other site: tables that are opted in and named by a publication.

    Raises InputError where one of them cannot travel: without it in the list, the other site would take it for one
    that left, and drop it perhaps.
    """
    now = standing(store, catalog, grants)
    if now.unfit:
        first = now.unfit[0]
        more = f" (and {len(now.unfit) - 1} more)" if now.unfit[1:] else ""
        raise InputError(f"{first.what}{more}", f"{first.hint}; or opt it out: --disaster-recovery off")
    return list(now.published)


def standing(store: Store, catalog: Catalog, grants: Grants = nobody) -> Standing:
    """Say what is published now; first follows tables that were renamed or made again since."""
    named = publications(store)
    known = opted(store)
    found = survey(catalog, known.values())
    _follow(store, known, found)
    known, named = opted(store), publications(store)
    published, unfit = [], []
    for name, row in known.items():
        if not any(item.covers(name) for item in named):
            continue
        table = found.eligible.get(name)
        if table is not None:
            wanted = Distribution.parse(row.distribution)
            fits = wanted if wanted.fits(table.schema) else default_distribution(table)  # its column was dropped
            published.append(Published(name, str(fits), tuple(sorted(grants(name)))))
        elif name in found.ineligible:
            unfit.append(found.ineligible[name])
    return Standing(tuple(published), tuple(unfit))


def current(store: Store, path: Path | None = None) -> tuple[Object, ...]:
    """Return the objects that are published, each once, sorted; with a path, write them there as a list."""
    objects = tuple(sorted({item for one in publications(store) for item in one.objects}))
    if path is not None:
        write_objects(path, objects)
    return objects


def _publish(
    store: Store,
    catalog: Catalog,
    name: str,
    kept: Sequence[Object],
    added: Sequence[Object],
    folder: Path | None,
    failed: Iterable[Failure] = (),
    before: Sequence[Object] = (),
) -> Outcome:
    """Let a publication name `kept` and of `added` what can be published, and opt its tables in.

    One that then names nothing is dropped.
    """
    known = opted(store)
    found = survey(catalog, known.values())
    taken, failures = _judged(added, found)
    opting = [
        Opted(table.name, table.identity, str(default_distribution(table)))
        for table in found.eligible.values()
        if table.name not in known and any(item.covers(Object.parse(table.name)) for item in taken)
    ]
    objects = dict.fromkeys([*kept, *taken])
    with store.transaction() as connection:
        connection.execute("DELETE FROM recovery_publication WHERE name = ?", (name,))
        if objects:
            connection.execute("INSERT INTO recovery_publication VALUES (?)", (name,))
        rows = [(name, str(item), found.identities.get(str(item), "")) for item in objects]
        connection.executemany("INSERT INTO recovery_member VALUES (?, ?, ?)", rows)
        connection.executemany("REPLACE INTO recovery_opted VALUES (?, ?, ?)", opting)
    everything = (*failed, *failures)
    _written(store, folder, everything)
    withdrawn = tuple(sorted(item for item in before if item not in objects))
    return Outcome(name, tuple(taken), withdrawn, tuple(row.name for row in opting), everything)


def _judged(objects: Iterable[Object], found: Survey) -> tuple[list[Object], list[Failure]]:
    """Part objects into those to publish and what fails; of a wider one its ineligible tables fail alone."""
    taken, failed = [], []
    tables = {name: Object.parse(name) for name in found.eligible}
    refused = {name: _object(name) for name in found.ineligible}
    for item in dict.fromkeys(objects):
        inside = [name for name, table in refused.items() if table is not None and item.covers(table)]
        if item.kind == "table" and inside:
            failed.append(Failure(item, str(found.ineligible[inside[0]])))
            continue
        if item.kind != "everything" and not inside and not any(item.covers(table) for table in tables.values()):
            failed.append(Failure(item, _missing(item, found)))
            continue
        taken.append(item)
        failed += [Failure(refused[name] or item, str(found.ineligible[name])) for name in inside]
        if item.kind == "everything":
            failed += [
                Failure(item, str(found.ineligible[name])) for name, known in refused.items() if known is None
            ]
    return taken, list(dict.fromkeys(failed))


def _object(name: str) -> Object | None:
    try:
        return Object.parse(name)
    except InputError:
        return None


def _missing(item: Object, found: Survey) -> str:
    if item.kind == "table":
        return f"there is no table {item}; {nearest(str(item), found)}"
    size = len(item.parts)
    known = {".".join(name.split(".")[:size]) for name in (*found.eligible, *found.ineligible)}
    return f"there is no table in the {item.kind} {item}; {suggestion(str(item), known)}"


def _follow(store: Store, known: Mapping[str, Opted], found: Survey) -> None:
    """Let opted tables and published ones go by their present names."""
    there = found.identities
    moved = followed({row.name: row.identity for row in known.values()}, there)
    rows = [Opted(*moved[old], row.distribution) for old, row in known.items() if old in moved]
    if set(rows) != set(known.values()):
        with store.transaction() as connection:
            connection.execute("DELETE FROM recovery_opted")
            connection.executemany("INSERT INTO recovery_opted VALUES (?, ?, ?)", rows)
    members = store.rows("SELECT publication, object, identity FROM recovery_member WHERE identity <> ''")
    for name in {row["publication"] for row in members}:
        mine = {row["object"]: row["identity"] for row in members if row["publication"] == name}
        now = followed(mine, there)
        if {old: (old, identity) for old, identity in mine.items()} != now:
            with store.transaction() as connection:
                connection.executemany(
                    "DELETE FROM recovery_member WHERE publication = ? AND object = ?",
                    [(name, old) for old in mine],
                )
                connection.executemany(
                    "REPLACE INTO recovery_member VALUES (?, ?, ?)", [(name, *present) for present in now.values()]
                )


def _written(store: Store, folder: Path | None, failed: Iterable[Failure]) -> None:
    """Write the lists of a folder: what is published, and what failed in the last command."""
    if folder is not None:
        write_pub_list(folder / PUB_LIST, publications(store))
        write_failures(folder / FAILED_LIST, failed)
