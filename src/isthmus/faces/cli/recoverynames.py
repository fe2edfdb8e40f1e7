"""Commands of recovery that say what is kept on the other site, and how: keys, configuration, publications."""

from __future__ import annotations

import shutil
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from isthmus.core.errors import InputError
from isthmus.faces.cli.recovery import opened, recovery
from isthmus.faces.cli.screen import say
from isthmus.faces.cli.standing import show_key
from isthmus.faces.cli.tables import table

if TYPE_CHECKING:
    from isthmus.recovery import cron
    from isthmus.recovery.publications import Outcome

_FILE = click.Path(path_type=Path, dir_okay=False)


@recovery.command()
@click.argument("file", type=_FILE, required=False)
@click.pass_context
def keys(ctx: click.Context, file: Path | None) -> None:
    """Make or show this site's signing key.

    FILE is the one that [recovery] names unless it is given. The public key goes into `trust` at the other site.
    """
    if file is None:
        from isthmus.app.recovery.config import read_recovery_config

        config = read_recovery_config(ctx.obj)
        file = config.place(config.recovery.key)
    show_key(file, "other site")


@recovery.command("generate-config")
@click.option("--file", "path", type=_FILE, default=Path("backupRestore.ini"), show_default=True)
@click.option("--username", default="", help="Account of the database.")
@click.option("--primary-host-ip", default="")
@click.option("--restore-host-ip", default="")
@click.option("--media-destination", default="", help="Folder, URL or bucket of the data files, on both sites.")
@click.option("--metadata-destination", default="", help="That of the metadata.")
@click.option("--primary-env", default="")
@click.option("--standby-env", default="")
@click.option("--force", is_flag=True, help="Replace files that are there.")
def generate_config(
    path: Path,
    username: str,
    primary_host_ip: str,
    restore_host_ip: str,
    media_destination: str,
    metadata_destination: str,
    primary_env: str,
    standby_env: str,
    force: bool,
) -> None:
    """Write a backupRestore.ini and its swapped twin.

    A site heeds it where [recovery] says classic = "backupRestore.ini".
    """
    from isthmus.recovery import ini

    if path.exists() and not force:
        raise InputError(f"{path} is there already", "choose another with --file, or replace it with --force")
    classic = ini.generate(
        username,
        primary_env=primary_env,
        standby_env=standby_env,
        primary_host_ip=primary_host_ip,
        restore_host_ip=restore_host_ip,
        meta_destination=metadata_destination,
        media_destination=media_destination,
    )
    swapped = ini.write_pair(classic, path)
    say(f"wrote {path} and {swapped}")


@recovery.command()
@click.option("--local-dn-num", type=int, help="Storage shards on this side; those of [recovery] unless given.")
@click.option("--remote-dn-num", type=int, help="Storage shards on the other side.")
@click.pass_context
def prepare(ctx: click.Context, local_dn_num: int | None, remote_dn_num: int | None) -> int:
    """Check both sites, both ways.

    Ends with code 1 where something is wrong. What is not known yet, as of a site behind a gate, holds nobody up.
    """
    from isthmus.app.recovery.preparing import sides
    from isthmus.recovery.prepare import checks, prepare, well
    from isthmus.recovery.shards import BUCKETS

    site = opened(ctx)
    shards = prepare(local_dn_num or site.part.local_shards, remote_dn_num or site.part.remote_shards)
    table(
        ("shard here", "shard there", f"buckets of {BUCKETS}"),
        [(one.local, one.remote, one.buckets) for one in shards.lanes()],
    )
    found = checks(*sides(site))
    words = {True: "well", False: "WRONG", None: "unknown"}
    table(("check", "is", "found", "to do"), [(one.what, words[one.well], one.detail, one.hint) for one in found])
    return 0 if well(found) else 1


def _told(outcomes: list[Outcome], lists: Path) -> int:
    failed = 0
    for one in outcomes:
        name = one.publication or "all publications"
        for verb, objects in (("publishes", one.published), ("withdrew", one.withdrawn)):
            if objects:
                say(f"{name} {verb} {', '.join(map(str, objects))}", fold=True)
        if one.opted_in:
            say(f"opted in: {', '.join(one.opted_in)}", fold=True)
        for failure in one.failed:
            say(f"not published: {failure.object}: {failure.why}", fold=True)
        failed += len(one.failed)
    if failed:
        say(f"what failed stands in {lists / 'fail_disaster_object.txt'}: correct it and hand it in again")
    return 3 if failed else 0


@recovery.command("sql")
@click.argument("statement")
@click.option("--force-alter", is_flag=True, help="Let a part take the place of the whole that is published.")
@click.pass_context
def sql(ctx: click.Context, statement: str, force_alter: bool) -> int:
    """Carry out CREATE, ALTER or DROP PUBLICATION.

    \b
    CREATE PUBLICATION p FOR ALL TABLES
    CREATE PUBLICATION p FOR ALL TABLES IN SCHEMA a, b
    CREATE PUBLICATION p FOR TABLE s.t, u.v
    ALTER PUBLICATION p ADD TABLE s.w
    """
    from isthmus.recovery import publications

    site = opened(ctx)
    return _told(publications.execute(site.store, site.catalog, statement, site.lists, force_alter), site.lists)


def _objects(file: Path | None, names: tuple[str, ...], everything: bool) -> tuple:  # type: ignore[type-arg]
    from isthmus.recovery.objects import Object, read_objects

    if sum((file is not None, bool(names), everything)) != 1:
        raise InputError("say what is meant", "name objects, or --disaster-object-list-file, or --all")
    if everything:
        return (Object(),)
    return read_objects(file) if file else tuple(Object.parse(name) for name in names)


_LIST = click.option("--disaster-object-list-file", "file", type=_FILE, help="One object a line.")
_PUBLICATION = click.option("--publication", default="disaster", show_default=True, help="Its name.")


@recovery.command("create-publication")
@click.argument("objects", nargs=-1)
@_LIST
@click.option("--all", "everything", is_flag=True, help="All tables.")
@_PUBLICATION
@click.pass_context
def create_publication(
    ctx: click.Context, objects: tuple[str, ...], file: Path | None, everything: bool, publication: str
) -> int:
    """Publish OBJECTS.

    Databases, database.schema, or database.schema.table. All of their tables that are eligible are opted
    in; what is not is listed with the reason.
    """
    from isthmus.recovery import publications

    site = opened(ctx)
    wanted = _objects(file, objects, everything)
    return _told([publications.create(site.store, site.catalog, publication, wanted, site.lists)], site.lists)


@recovery.command("alter-publication")
@click.argument("objects", nargs=-1)
@_LIST
@click.option("--drop", "dropped", is_flag=True, help="Withdraw the objects instead of adding them.")
@click.option("--force-alter", is_flag=True, help="Let a part take the place of the whole that is published.")
@_PUBLICATION
@click.pass_context
def alter_publication(
    ctx: click.Context,
    objects: tuple[str, ...],
    file: Path | None,
    dropped: bool,
    force_alter: bool,
    publication: str,
) -> int:
    """Add OBJECTS to a publication, or withdraw them."""
    from isthmus.recovery import publications

    site = opened(ctx)
    wanted = _objects(file, objects, False)
    add, drop = ((), wanted) if dropped else (wanted, ())
    outcome = publications.alter(site.store, site.catalog, publication, add, drop, force_alter, site.lists)
    return _told([outcome], site.lists)


@recovery.command("cancel-publication")
@_LIST
@click.option("--all-cancel", is_flag=True, help="Withdraw everything.")
@click.pass_context
def cancel_publication(ctx: click.Context, file: Path | None, all_cancel: bool) -> int:
    """Withdraw objects from all publications."""
    from isthmus.recovery import publications
    from isthmus.recovery.objects import read_objects

    if (file is None) != all_cancel:
        raise InputError("say what to withdraw", "name --disaster-object-list-file, or --all-cancel")
    site = opened(ctx)
    wanted = read_objects(file) if file else None
    return _told([publications.cancel(site.store, wanted, site.lists)], site.lists)


@recovery.command("get-current-disaster")
@click.option("--file", "path", type=_FILE, help="Write the objects there, as a list that other commands read.")
@click.pass_context
def get_current_disaster(ctx: click.Context, path: Path | None) -> None:
    """Show what is published.

    And which published tables cannot travel as they are.
    """
    from isthmus.recovery import publications

    site = opened(ctx)
    objects = publications.current(site.store, path)
    now = publications.standing(site.store, site.catalog, site.grants.of)
    table(("published object",), [(str(one),) for one in objects])
    table(
        ("table", "distribution", "state"),
        [
            *((one.name, one.distribution, "travels") for one in now.published),
            *((one.name, "", str(one)) for one in now.unfit),
        ],
    )


def _job(name: str, words: tuple[str, ...], interval_s: float, look_s: float) -> cron.Job:
    """Look every `look_s` seconds whether something is due; where the TOML gives no interval, do it then.

    What is due minds the interval, windows, and what was stopped: an action that is ordered minds none of them.
    """
    from isthmus.recovery import cron

    due = ("--when-due",) if interval_s else ()
    return cron.Job(name, (*words, name, *due), timedelta(seconds=look_s))


@recovery.command("install-cron")
@click.option("--systemd", type=click.Path(path_type=Path, file_okay=False), help="Write units into this folder.")
@click.pass_context
def install_cron(ctx: click.Context, systemd: Path | None) -> None:
    """Print crontab lines, or write systemd units.

    `isthmus serve recovery` needs neither: it runs the rounds itself.
    """
    from isthmus.recovery import cron

    site = opened(ctx)
    part, name = site.part, site.config.site.name
    program = shutil.which("isthmus") or "isthmus"
    words = (program, "--site", str(site.config.path.resolve()), "recovery")
    jobs = [
        _job("backup", words, part.backup_s, min(part.backup_s, 60.0) or 300.0),
        _job("restore", words, part.restore_s, 60.0),
    ]
    if systemd is None:
        click.echo("\n".join(cron.crontab(name, jobs, part.env)))
        return
    systemd.mkdir(parents=True, exist_ok=True)
    server = cron.server(name, (*words[:3], "serve", "recovery"), part.account, part.env)
    for unit in (*cron.units(name, jobs, part.account, part.env), server):
        (systemd / unit.name).write_text(unit.content)
        say(f"wrote {systemd / unit.name}")
