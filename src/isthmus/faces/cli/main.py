"""Runs one command line: one line for every error, and an exit code that says what happened.

Exit codes: 0 all went well; 1 it failed; 2 the input or the command line is wrong; 3 done, but records were
set aside; 4 something else holds what is needed; 5 bytes are corrupt; 6 refused; 130 interrupted.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence

import click

from isthmus.core.errors import ConfigError, IsthmusError
from isthmus.faces.cli import (
    acquire,
    acquiregate,
    acquirekeeping,
    device,
    devicemodel,
    gallery,
    gate,
    loop,
    mining,
    model,
    people,
    product,
    recovery,
    recoverynames,
    scenes,
    serve,
    setup,
    table,
    warehouse,
)
from isthmus.faces.cli.extras import missing_extra
from isthmus.faces.cli.root import isthmus
from isthmus.faces.cli.screen import say

COMMANDS = (
    setup,
    product,
    scenes,
    mining,
    loop,
    warehouse,
    table,
    acquire,
    acquirekeeping,
    acquiregate,
    gallery,
    gate,
    model,
    device,
    devicemodel,
    recovery,
    recoverynames,
    serve,
    people,
)
"""The modules whose import adds commands to the root."""

ORDER = (
    "demo",
    "init",
    "check",
    "up",
    "status",
    "doctor",
    "keys",
    "sources",
    "ingest",
    "query",
    "scenes",
    "rules",
    "mine",
    "loop",
    "warehouse",
    "table",
    "olap",
    "acquire",
    "agent",
    "gallery",
    "gate",
    "model",
    "device",
    "recovery",
    "serve",
    "user",
    "key",
    "audit",
)
"""In which help lists them: as one comes to need them."""

isthmus.commands = {name: isthmus.commands[name] for name in (*ORDER, *isthmus.commands) if name in isthmus.commands}


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code; never raises."""
    debug = "--debug" in arguments
    _bear_any_text()
    try:
        code = isthmus.main(list(arguments), prog_name="isthmus", standalone_mode=False)
    except ConfigError as error:
        for mistake in error.mistakes:
            say(f"isthmus: {mistake}", fold=True)
        return _end(error, error.exit_code, debug)
    except IsthmusError as error:
        say(f"isthmus: {error}", fold=True)
        return _end(error, error.exit_code, debug)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return 2
    except click.ClickException as error:
        say(f"isthmus: {_usage(error)}", fold=True)
        return _end(error, 2, debug)
    except (click.Abort, KeyboardInterrupt) as error:
        say("isthmus: interrupted; the same command goes on from here")
        return _end(error, 130, debug)
    except SystemExit:  # click's and rich's answer to a reader that went away, such as head
        return 0
    except ModuleNotFoundError as error:
        say(f"isthmus: {missing_extra(error, arguments)}")
        return _end(error, 2, debug)
    except (OSError, MemoryError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error) or "out of memory"
        where = f" ({error.filename})" if isinstance(error, OSError) and error.filename else ""
        say(f"isthmus: {reason}{where}; nothing that was reported as done is lost: mend it and run the same again")
        return _end(error, 1, debug)
    except Exception as error:  # noqa: BLE001 - the last line of defence: told in one line, never hidden
        text = " ".join(str(error).split()) or type(error).__name__
        say(f"isthmus: unexpected {type(error).__name__}: {text}; isthmus --debug with the same words shows where")
        return _end(error, 1, debug)
    return code if isinstance(code, int) else 0


def _bear_any_text() -> None:
    """Let a terminal or pipe that knows few signs show a ? instead of ending the work."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _usage(error: click.ClickException) -> str:
    text = " ".join(error.format_message().split())
    if isinstance(error, click.UsageError) and error.ctx is not None:
        return f"{text.rstrip('.')}; see: {error.ctx.command_path} --help"
    return text


def _end(error: BaseException, code: int, debug: bool) -> int:
    if debug:
        raise error
    return code
