"""Commands of single tables: list, show, create, alter, rename, drop, index, compact, grant, revoke.

A name may leave out the database, or database and schema: those of the site's warehouse are meant then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from isthmus.core.errors import InputError, IsthmusError
from isthmus.faces.cli.root import Commands, isthmus, open_site, pairs
from isthmus.faces.cli.screen import Screen, say
from isthmus.faces.cli.tables import table as shown

if TYPE_CHECKING:
    from isthmus.app.site import Site
    from isthmus.warehouse.catalog import Catalog
    from isthmus.warehouse.name import TableName
    from isthmus.warehouse.table import Table

NAME = "TABLE"
_Change = tuple[str, Callable[["Table"], None]]


@isthmus.group(cls=Commands)
def table() -> None:
    """Make, change and look at single tables of the warehouse.

    A table is named database.schema.table; without the first parts, those of the site's warehouse are meant.
    """


@table.command("list")
@click.pass_context
def list_(ctx: click.Context) -> None:
    """List all tables, and which are replicas."""
    with Screen() as screen:
        catalog = open_site(ctx, screen).tables.catalog
        rows = list(_listed(catalog))
    if not rows:
        say("there is no table yet; make one: isthmus table create NAME key:string --key key")
        return
    shown(("table", "rows", "columns", "version", "state"), rows)


def _listed(catalog: Catalog) -> Iterator[tuple[Any, ...]]:
    now = catalog.fence()
    for name in catalog.names():
        try:
            one = catalog.open(name)
            barrier = f"replica of {now.primary or 'the primary'} at {now.barrier}"
            refused = "read-only" if now.refusal(str(name)) else "own"
            state = barrier if now.replica(str(name)) else refused
            yield str(name), one.count(), len(one.schema.names), one.version, state
        except (IsthmusError, OSError, ValueError) as error:  # the other tables are shown all the same
            yield str(name), None, None, None, f"unreadable: {str(error).splitlines()[0]}"


@table.command("show")
@click.argument("name", metavar=NAME)
@click.pass_context
def show(ctx: click.Context, name: str) -> None:
    """Show a table: columns, indexes, files, rights."""
    from isthmus.warehouse.alter import indexes
    from isthmus.warehouse.columns import type_word

    with Screen() as screen:
        site, one = _opened(ctx, screen, name)
        indexed = indexes(one)
    key = one.schema.key
    shown(
        ("column", "type", "null", "unit", "index", "about"),
        [
            (
                item.name + (" (key)" if item.name == key else ""),
                type_word(item),
                item.nullable and item.name != key,
                item.unit,
                indexed.get(item.name, ""),
                item.about,
            )
            for item in one.schema.fields
        ],
    )
    say("")
    shown(("what", "value"), _facts(site, one, str(_name(site, name))))


def _facts(site: Site, one: Table, name: str) -> Iterator[tuple[str, Any]]:
    from isthmus.warehouse.files import files_of

    yield "rows", one.count()
    yield "version", one.version
    yield "identity", one.identity
    try:
        files = files_of(one)
        yield "files", len(files)
        yield "MB", sum(file.size for file in files) / 1e6
    except InputError as error:  # a clone can be looked at, but not copied by its files
        yield "files", str(error)
    refusal = one.refusal()
    yield "writing", f"refused: {refusal[0]}" if refusal else "allowed"
    for user, right in _grants(site).of(name):
        yield f"rights of {user}", right


@table.command("create")
@click.argument("name", metavar=NAME)
@click.argument("columns", metavar="COLUMN:TYPE...", nargs=-1, required=True)
@click.option("--key", required=True, help="The column that tells the rows apart.")
@click.option(
    "--compression", type=click.Choice(["zstd", "none"]), help="Of the complex column; default as the site says."
)
@click.pass_context
def create(ctx: click.Context, name: str, columns: tuple[str, ...], key: str, compression: str | None) -> None:
    """Make a table.

    Types: string, int, float, bool, date, timestamp, strings, ints, floats, vector[N], complex.

    isthmus table create drives id:string at:timestamp speed:float tags:strings --key id
    """
    from isthmus.warehouse.columns import parse_schema

    with Screen() as screen:
        site = open_site(ctx, screen)
        full = _name(site, name)
        chosen: Any = compression or site.config.warehouse.compression
        site.tables.catalog.create(full, parse_schema(list(columns), key), compression=chosen)
    say(f"{full} is there")


@table.command("alter")
@click.argument("name", metavar=NAME)
@click.option("--drop-column", "drop", multiple=True, metavar="A", help="Take a column away.")
@click.option("--rename-column", "rename", multiple=True, metavar="A=B", help="Give a column another name.")
@click.option("--retype-column", "retype", multiple=True, metavar="A:TYPE", help="Convert a column.")
@click.option("--add-column", "add", multiple=True, metavar="A:TYPE", help="Add a column: null, or empty arrays.")
@click.option("--disaster-recovery", "recovery", type=click.Choice(["on", "off"]), help="May it be published?")
@click.option("--distribution", metavar="HOW", help="hash(COLUMN), roundrobin or replicated; with recovery on.")
@click.pass_context
def alter(
    ctx: click.Context,
    name: str,
    drop: tuple[str, ...],
    rename: tuple[str, ...],
    retype: tuple[str, ...],
    add: tuple[str, ...],
    recovery: str | None,
    distribution: str | None,
) -> None:
    """Change columns, or opt a table into recovery.

    Columns are dropped, then renamed, retyped and added, each as one version; rows, key and identity stay.
    """
    changes = _changes(drop, rename, retype, add)
    if distribution is not None and recovery == "off":
        raise InputError(
            "--distribution is for a table that recovery keeps", "leave it out, or switch recovery on"
        )
    if not changes and recovery is None and distribution is None:
        raise InputError(f"nothing is to be changed in {name}", "say what: isthmus table alter --help")
    with Screen() as screen:
        site = open_site(ctx, screen)
        full = _name(site, name)
        if recovery != "off":
            one = site.tables.catalog.open(full)
        if changes:
            _of_the_user(site, full)
            one = site.tables.catalog.open(full)
            for words, change in changes:
                change(one)
                say(f"{full}: {words}")
        if recovery is not None or distribution is not None:
            say(f"{full}: {_opted(site, full, recovery != 'off', distribution or '')}")


def _changes(
    drop: tuple[str, ...], rename: tuple[str, ...], retype: tuple[str, ...], add: tuple[str, ...]
) -> list[_Change]:
    """Read the changes of columns, all before the first is done. Raises InputError, UnknownName."""
    from isthmus.warehouse import alter as by
    from isthmus.warehouse.columns import parse_column, parse_type

    found: list[_Change] = [(f"dropped {column}", partial(by.drop_column, name=column)) for column in drop]
    for old, new in pairs(rename, "--rename-column").items():
        found.append((f"renamed {old} to {new}", partial(by.rename_column, name=old, to=new)))
    for text in retype:
        column, colon, word = text.partition(":")
        if not colon:
            raise InputError(f"--retype-column {text!r} is not NAME:TYPE", "write for example slot:float")
        kind, size = parse_type(word)
        found.append((f"{column} is {word} now", partial(by.retype_column, name=column, to=kind, size=size)))
    for text in add:
        field = parse_column(text)
        found.append((f"added {field.name}", partial(by.add_column, field=field)))
    return found


def _opted(site: Site, name: TableName, wanted: bool, distribution: str) -> str:
    from isthmus.recovery import eligibility

    if not wanted:
        was = eligibility.opt_out(site.store, str(name))
        return "may not be published any more" if was else "could not be published anyway"
    row = eligibility.opt_in(site.store, site.tables.catalog, str(name), distribution)
    return f"may be published, distributed by {row.distribution}"


@table.command("rename")
@click.argument("name", metavar=NAME)
@click.argument("to", metavar="NEW_NAME")
@click.pass_context
def rename(ctx: click.Context, name: str, to: str) -> None:
    """Give a table another name; its rights stay."""
    with Screen() as screen:
        site = open_site(ctx, screen)
        full, new = _name(site, name), _name(site, to)
        _of_the_user(site, full)
        _of_the_user(site, new)
        site.tables.catalog.rename(full, new)
        _grants(site).renamed(str(full), str(new))
    say(f"{full} is {new} now")


@table.command("drop")
@click.argument("name", metavar=NAME)
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_context
def drop(ctx: click.Context, name: str, yes: bool) -> None:
    """Remove a table with all its versions."""
    with Screen() as screen:
        site, one = _opened(ctx, screen, name)
        full, rows = _name(site, name), one.count()
    if not yes and not click.confirm(f"{full} has {rows} rows; remove it with all its versions?", err=True):
        raise click.Abort
    site.tables.catalog.drop(full)
    _grants(site).forget(str(full))
    say(f"{full} is gone")


@table.command("index")
@click.argument("name", metavar=NAME)
@click.argument("column")
@click.option("--kind", type=click.Choice(["btree", "bitmap", "label_list"]), help="Default: what fits the type.")
@click.option("--drop", "gone", is_flag=True, help="Take the index away instead.")
@click.pass_context
def index(ctx: click.Context, name: str, column: str, kind: Any, gone: bool) -> None:
    """Make an index on a column, or take it away.

    It serves looking up single values in the warehouse; broad conditions are answered by the OLAP, without it.
    """
    from isthmus.warehouse import alter as by

    if gone and kind is not None:
        raise InputError("--kind and --drop exclude each other", "leave one out")
    with Screen() as screen:
        site, one = _opened(ctx, screen, name)
        if gone:
            by.drop_index(one, column)
        else:
            by.create_index(one, column, kind)
    say(f"{_name(site, name)}: " + (f"no index on {column}" if gone else f"{by.indexes(one)[column]} on {column}"))


@table.command("compact")
@click.argument("name", metavar=NAME)
@click.option("--keep-days", type=click.IntRange(1), help="Remove versions that are older, too.")
@click.pass_context
def compact(ctx: click.Context, name: str, keep_days: int | None) -> None:
    """Join the small files of a table, drop deleted rows.

    With --keep-days old versions are removed too; pinned ones stay.
    """
    import datetime

    with Screen() as screen:
        site, one = _opened(ctx, screen, name)
        before = len(one.dataset.get_fragments())
        site.tables.waiting(one.compact, screen)
        freed = 0
        if keep_days is not None:
            age = datetime.timedelta(days=keep_days)
            freed = site.tables.waiting(lambda: one.cleanup(age), screen)
    after = len(one.dataset.get_fragments())
    shown(("what", "before", "after", "MB freed"), [(f"data files of {one.uri}", before, after, freed / 1e6)])


@table.command("grant")
@click.argument("name", metavar=NAME)
@click.argument("user")
@click.argument("right", type=click.Choice(["select", "insert", "all"]))
@click.pass_context
def grant(ctx: click.Context, name: str, user: str, right: str) -> None:
    """Give a user a right on a table."""
    with Screen() as screen:
        site, full = _own(ctx, screen, name)
        new = _grants(site).grant(str(full), user, right)
    say(f"{user} holds {right} on {full}" + ("" if new else " already"))


@table.command("revoke")
@click.argument("name", metavar=NAME)
@click.argument("user")
@click.argument("right", type=click.Choice(["select", "insert", "all"]))
@click.pass_context
def revoke(ctx: click.Context, name: str, user: str, right: str) -> None:
    """Take a right from a user; all takes every right."""
    with Screen() as screen:
        site, full = _own(ctx, screen, name)
        was = _grants(site).revoke(str(full), user, right)
    say(f"{user} holds {right} on {full} no longer" if was else f"{user} did not hold {right} on {full}")


def _name(site: Site, text: str) -> TableName:
    """Read a table's name; the site's warehouse gives the parts that are left out. Raises InputError."""
    from isthmus.warehouse.name import TableName

    part = site.config.warehouse
    given = text.split(".")
    missing = [part.database, part.schema][: max(0, 3 - len(given))]
    return TableName.parse(".".join([*missing, *given]))


def _opened(ctx: click.Context, screen: Screen, name: str) -> tuple[Site, Table]:
    site = open_site(ctx, screen)
    return site, site.tables.catalog.open(_name(site, name))


def _own(ctx: click.Context, screen: Screen, name: str) -> tuple[Site, TableName]:
    """Find a table whose rights are given here: those of a replica come from its primary."""
    site, _ = _opened(ctx, screen, name)
    full = _name(site, name)
    now = site.tables.catalog.fence()
    if now.replica(str(full)):
        now.allow(str(full))
    return site, full


def _grants(site: Site) -> Any:
    from isthmus.warehouse.grants import Grants

    return Grants(site.store)


def _of_the_user(site: Site, name: TableName) -> None:
    """Refuse to change the names and columns that the site's own work counts on. Raises InputError."""
    own = {site.tables.name("scenes"), site.tables.name("rejects"), *site.tables.beside.values()}
    if name in own:
        raise InputError(f"{name} is a table that the site itself fills", "its name and columns stay as they are")
