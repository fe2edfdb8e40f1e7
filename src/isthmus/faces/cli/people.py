"""Commands about who may do what: users of the console, API keys of programs, the audit log.

Passwords are typed twice on a terminal or read from a file, never taken from the command line, which other users
of the machine can see.
"""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from isthmus.core.errors import Corrupt, InputError
from isthmus.faces.cli.root import Commands, isthmus
from isthmus.faces.cli.screen import say
from isthmus.faces.cli.tables import table

if TYPE_CHECKING:
    from datetime import datetime

    from isthmus.app.people.access import Access
    from isthmus.app.people.person import Role
    from isthmus.app.people.trail import Actor

_ROLES = click.Choice(["viewer", "operator", "admin"])
_FILE = click.option(
    "--password-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Read the password from the first line of a file; asked for without it.",
)


@isthmus.group(cls=Commands)
def user() -> None:
    """Users of the console: add, list, change, remove."""


@user.command("add")
@click.argument("name")
@click.option(
    "--role",
    type=_ROLES,
    required=True,
    help="viewer sees, operator runs operations, admin also changes who may do what.",
)
@_FILE
@click.pass_context
def add_user(ctx: click.Context, name: str, role: str, password_file: Path | None) -> None:
    """Add a user. The password is asked for twice."""
    from isthmus.app.people.passwords import Passwords

    with _access(ctx) as (access, by):
        passwords = Passwords()  # before anything is typed in vain
        password = _new_password(name, password_file)
        named = access.people.add(name, _role(role), passwords.hash(password), by)
    say(f"{named} may log in, as {role}")


@user.command("list")
@click.pass_context
def list_users(ctx: click.Context) -> None:
    """List the users."""
    with _access(ctx) as (access, _):
        rows = [
            (one.name, str(one.role), _day(one.made), one.made_by, _minute(one.seen))
            for one in access.people.members(most=1_000_000)
        ]
    table(("name", "role", "made", "by", "last login"), rows)


@user.command("role")
@click.argument("name")
@click.argument("role", type=_ROLES)
@click.pass_context
def set_role(ctx: click.Context, name: str, role: str) -> None:
    """Give a user another role. It counts at once."""
    with _access(ctx) as (access, by):
        access.people.set_role(name, _role(role), by)
    say(f"{name.lower()} is {role} now")


@user.command("password")
@click.argument("name")
@_FILE
@click.pass_context
def set_password(ctx: click.Context, name: str, password_file: Path | None) -> None:
    """Set a user's password, which ends all of their sessions."""
    from isthmus.app.people.passwords import Passwords

    with _access(ctx) as (access, by):
        passwords = Passwords()
        access.people.member(name)
        password = _new_password(name, password_file)
        access.people.set_password(name, passwords.hash(password), by)
    say(f"{name.lower()} has a new password; all of their sessions have ended")


@user.command("logout")
@click.argument("name")
@click.pass_context
def end_sessions(ctx: click.Context, name: str) -> None:
    """End all sessions of a user, as after a lost tablet."""
    with _access(ctx) as (access, by):
        ended = access.end_sessions(name, by)
    say(f"{ended} {'session' if ended == 1 else 'sessions'} of {name.lower()} ended")


@user.command("remove")
@click.argument("name")
@click.pass_context
def remove_user(ctx: click.Context, name: str) -> None:
    """Remove a user, which ends all of their sessions. The last admin stays."""
    with _access(ctx) as (access, by):
        access.people.remove(name, by)
    say(f"{name.lower()} is no user any more")


@isthmus.group(cls=Commands)
def key() -> None:
    """API keys of programs: make, list, revoke.

    The keys of a site's TOML are another thing: isthmus keys explains those.
    """


@key.command("add")
@click.argument("name")
@click.option("--role", type=_ROLES, default="viewer", show_default=True)
@click.option("--days", type=float, help="It opens nothing any more after so many days.")
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="Write the key there, for its owner alone."
)
@click.pass_context
def add_key(ctx: click.Context, name: str, role: str, days: float | None, out: Path | None) -> None:
    """Make an API key. It is shown once; only its digest is kept."""
    if out is not None and out.exists():
        raise InputError(f"{out} is there already", "choose another file")
    with _access(ctx) as (access, by):
        made = access.keys.add(name, _role(role), by, days)
        try:
            if out is not None:
                _private(out, made.text)
        except BaseException:
            access.keys.revoke(name, by)  # nobody has seen it
            raise
    until = f", until {_minute(made.shown.expires)}" if made.shown.expires else ""
    say(f"key {made.shown.name}, {role}{until}" + (f", in {out}" if out else "; it is not shown again:"))
    if out is None:
        click.echo(made.text)


@key.command("list")
@click.option("--all", "every", is_flag=True, help="Also those that were revoked.")
@click.pass_context
def list_keys(ctx: click.Context, every: bool) -> None:
    """List the API keys; never their texts."""
    with _access(ctx) as (access, _):
        found = [one for _, one in access.keys.listed(most=1_000_000) if every or one.revoked is None]
    columns = ("name", "begins", "role", "made", "by", "expires", "last used", "revoked")
    table(
        columns,
        [
            (
                one.name,
                one.prefix,
                str(one.role),
                _day(one.made),
                one.made_by,
                _minute(one.expires),
                _minute(one.used),
                _minute(one.revoked),
            )
            for one in found
        ],
    )


@key.command("revoke")
@click.argument("name")
@click.pass_context
def revoke_key(ctx: click.Context, name: str) -> None:
    """Let an API key open nothing any more, at once."""
    with _access(ctx) as (access, by):
        access.keys.revoke(name, by)
    say(f"key {name.lower()} opens nothing any more")


@isthmus.command()
@click.option("--after", type=click.IntRange(min=0), help="From behind this line on; without it the latest.")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True)
@click.option("--verify", is_flag=True, help="Prove that no line was removed or changed; print the head.")
@click.option(
    "--since", default="", metavar="HEAD", help="With --verify: a head noted before must still be there."
)
@click.pass_context
def audit(ctx: click.Context, after: int | None, limit: int, verify: bool, since: str) -> None:
    """Show who changed what, when and from where.

    Each line's digest continues the one before. Note the head that --verify prints somewhere else from time to
    time: with --since it proves that the log was not written anew.
    """
    if since and not verify:
        raise InputError("--since goes with --verify", "write: isthmus audit --verify --since HEAD")
    with _access(ctx) as (access, _):
        if verify:
            verdict = access.trail.verify(since)
            if verdict.faults:
                raise Corrupt(
                    "the audit log is not whole: " + "; ".join(verdict.faults), "compare it with a backup"
                )
            say(f"{verdict.lines} {'line' if verdict.lines == 1 else 'lines'}, none removed or changed; head:")
            click.echo(verdict.head)
            return
        lines = access.trail.latest(most=limit)[::-1] if after is None else access.trail.after(after, limit)
    table(
        ("line", "at", "who", "act", "subject", "outcome", "from"),
        [(one.number, _minute(one.at), one.who, one.act, one.subject, one.outcome, one.where) for one in lines],
    )


@contextmanager
def _access(ctx: click.Context) -> Iterator[tuple[Access, Actor]]:
    """Open the site's people, and say who changes them here: the machine's user."""
    from isthmus.app.clock import SystemClock
    from isthmus.app.console import read_console_config
    from isthmus.app.people.access import Access
    from isthmus.app.people.trail import Actor

    file = read_console_config(ctx.obj).people_file
    with Access(file, SystemClock()) as access:
        yield access, Actor(f"{_account()}@shell", "command line")


def _account() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # an account without a name, as in a container
        return str(os.getuid())


def _new_password(name: str, file: Path | None) -> str:
    """Return a new password that was judged, from a file or typed twice."""
    from isthmus.app.people.rules import LEAST_PASSWORD, judge_password, name_of

    named = name_of(name)
    if file is not None:
        try:
            lines = file.read_text(encoding="utf-8").splitlines()
        except OSError as error:
            raise InputError(f"{file} cannot be read: {error.strerror}", "name the password's file") from error
        except UnicodeDecodeError as error:
            raise InputError(f"{file} is no text", "put the password there alone, on one line") from error
        return judge_password(lines[0] if lines else "", named)
    if not sys.stdin.isatty():
        raise InputError("there is no terminal to ask for the password on", "give --password-file")
    text = click.prompt(f"Password of {named}, {LEAST_PASSWORD} signs or more", hide_input=True, err=True)
    judged = judge_password(text, named)
    if click.prompt("The same again", hide_input=True, err=True) != text:
        raise InputError("the two passwords differ", "begin again")
    return judged


def _role(text: str) -> Role:
    from isthmus.app.people.person import Role

    return Role.of(text)


def _private(path: Path, text: str) -> None:
    from isthmus.state.files import write_private

    try:
        write_private(path, f"{text}\n".encode())
    except OSError as error:
        raise InputError(f"{path} cannot be made: {error.strerror}", "choose another file") from error


def _day(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d}" if at else ""


def _minute(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S}" if at else ""
