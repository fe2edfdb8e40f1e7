"""The root of the command line: the options of all commands, and what the commands share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from isthmus import __version__
from isthmus.core.errors import InputError, UnknownName
from isthmus.faces.cli.lazily import Lazily

if TYPE_CHECKING:
    from isthmus.app.site import Site
    from isthmus.faces.cli.screen import Screen

SITE_FILE = "isthmus.toml"


class Commands(click.Group):
    """A group that lists its commands in the order of use, and names the nearest one for an unknown one."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """List the commands as they were declared."""
        return list(self.commands)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command. Raises UnknownName."""
        if args and not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            raise UnknownName.among("command", args[0], self.list_commands(ctx))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands with a line each; those of the root are not imported for it."""
        if not isinstance(self.commands, Lazily):
            super().format_commands(ctx, formatter)
            return
        with formatter.section("Commands"):
            formatter.write_dl([(name, self.commands.about(name)) for name in self.commands])


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option(
    "--site",
    type=click.Path(path_type=Path, dir_okay=True),
    envvar="ISTHMUS_SITE",
    default=Path(SITE_FILE),
    show_default=True,
    help="The site's TOML, or the folder it lies in.",
)
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.version_option(__version__, prog_name="isthmus")
@click.pass_context
def isthmus(ctx: click.Context, site: Path, debug: bool) -> None:
    """Move machine-vision data across networks kept apart, and close the loop over it."""
    ctx.obj = site / SITE_FILE if site.is_dir() else site


def open_site(ctx: click.Context, screen: Screen) -> Site:
    """Open the site that the command line names."""
    from isthmus.app.site import Site

    return Site.open(ctx.obj, screen)


def pairs(values: Sequence[str], option: str) -> dict[str, str]:
    """Read NAME=VALUE options. Raises InputError."""
    found = {}
    for value in values:
        name, equals, text = value.partition("=")
        if not equals or not name:
            raise InputError(f"{option} {value!r} is not NAME=VALUE", f"write for example {option} gap_m=15")
        if name.strip() in found:
            raise InputError(f"{option} sets {name.strip()} twice", "say it once")
        found[name.strip()] = text.strip()
    return found
