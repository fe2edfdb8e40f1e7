"""What a site publishes that takes over: what its primary published, of the tables that it was shown."""

from __future__ import annotations

from collections.abc import Iterable

from isthmus.recovery.barrier import Named
from isthmus.recovery.cut import Published
from isthmus.recovery.eligibility import Opted, opted
from isthmus.recovery.objects import Object
from isthmus.recovery.publications import CLASSIC, publications
from isthmus.recovery.publist import Publication
from isthmus.state.store import Store
from isthmus.warehouse.catalog import Catalog
from isthmus.warehouse.name import TableName


def adopt(store: Store, catalog: Catalog, tables: Iterable[Published], named: Named | None = None) -> None:
    """Publish as the primary did whose tables are here: what a site does that takes over.

    `named` takes the place of the site's own publications; None leaves these as they are. Of all tables that are
    covered then exactly `tables` are opted in, in the distributions that they have and as they are here now,
    whatever was known of their names and identities from an earlier time: so a copy that was kept aside of one is
    no obstacle to it, and no table that only this site has goes over by itself. Tables that nothing covers are
    named by `CLASSIC`.
    """
    wanted = {table.name: table for table in tables}
    known = publications(store) if named is None else [Publication(*one) for one in named.items()]
    publishing = {one.name: one.objects for one in known}
    bare = {Object.parse(name) for name in wanted if not any(one.covers(name) for one in known)}
    if bare:
        publishing[CLASSIC] = tuple(sorted({*publishing.get(CLASSIC, ()), *bare}))
    there = set(catalog.names())
    names = [found for one in sorted(wanted) if (found := TableName.parse(one)) in there]
    rows = [Opted(str(one), catalog.open(one).identity, wanted[str(one)].distribution) for one in names]
    identities = {row.name: row.identity for row in rows}
    others = [name for name in opted(store) if name not in wanted and any(one.covers(name) for one in known)]
    members = [
        (name, str(item), identities.get(str(item), "")) for name, items in publishing.items() for item in items
    ]
    with store.transaction() as connection:
        connection.executemany("DELETE FROM recovery_opted WHERE name = ?", [(name,) for name in others])
        connection.executemany(
            "DELETE FROM recovery_opted WHERE name = ? OR identity = ?",
            [(row.name, row.identity) for row in rows],
        )
        connection.executemany("INSERT INTO recovery_opted VALUES (?, ?, ?)", rows)
        connection.execute("DELETE FROM recovery_publication")
        connection.executemany("INSERT INTO recovery_publication VALUES (?)", [(name,) for name in publishing])
        connection.executemany("INSERT INTO recovery_member VALUES (?, ?, ?)", members)
