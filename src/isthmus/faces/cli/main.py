"""The root of the command line: options for all commands, one line for every error, exit codes.

Exit codes: 0 all went well; 1 it failed; 2 the input or the command line is wrong; 3 done, but records were
set aside; 4 something else holds what is needed; 5 bytes are corrupt; 130 interrupted.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from isthmus import __version__
from isthmus.core.errors import ConfigError, InputError, IsthmusError, UnknownName
from isthmus.faces.cli.screen import Screen, say

if TYPE_CHECKING:
    from isthmus.app.site import Site

SITE_FILE = "isthmus.toml"


class Commands(click.Group):
    """A group that names the nearest command for an unknown one."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command. Raises UnknownName."""
        if args and not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            raise UnknownName.among("command", args[0], self.list_commands(ctx))
        return super().resolve_command(ctx, args)


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


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code; never raises."""
    from isthmus.faces.cli import loop, mining, scenes, setup  # noqa: F401 - they add their commands

    debug = "--debug" in arguments
    try:
        code = isthmus.main(list(arguments), prog_name="isthmus", standalone_mode=False)
    except ConfigError as error:
        for mistake in error.mistakes:
            say(f"isthmus: {mistake}")
        return _end(error, error.exit_code, debug)
    except IsthmusError as error:
        say(f"isthmus: {error}")
        return _end(error, error.exit_code, debug)
    except click.ClickException as error:
        say(f"isthmus: {_usage(error)}")
        return _end(error, 2, debug)
    except (click.Abort, KeyboardInterrupt) as error:
        say("isthmus: interrupted; the same command goes on from here")
        return _end(error, 130, debug)
    except BrokenPipeError:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123 - else the interpreter complains at its end
        return 0
    except (OSError, MemoryError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error) or "out of memory"
        where = f" ({error.filename})" if isinstance(error, OSError) and error.filename else ""
        say(f"isthmus: {reason}{where}; nothing that was reported as done is lost: mend it and run the same again")
        return _end(error, 1, debug)
    return code if isinstance(code, int) else 0


def _usage(error: click.ClickException) -> str:
    text = " ".join(error.format_message().split())
    if isinstance(error, click.UsageError) and error.ctx is not None:
        return f"{text.rstrip('.')}; see: {error.ctx.command_path} --help"
    return text


def _end(error: BaseException, code: int, debug: bool) -> int:
    if debug:
        raise error
    return code


def pairs(values: Sequence[str], option: str) -> dict[str, str]:
    """Read NAME=VALUE options. Raises InputError."""
    found = {}
    for value in values:
        name, equals, text = value.partition("=")
        if not equals or not name:
            raise InputError(f"{option} {value!r} is not NAME=VALUE", f"write for example {option} gap_m=15")
        found[name.strip()] = text.strip()
    return found
