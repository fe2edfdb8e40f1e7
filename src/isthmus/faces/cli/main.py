"""Runs one command line: one line for every error, and an exit code that says what happened.

Exit codes: 0 all went well; 1 it failed; 2 the input or the command line is wrong; 3 done, but records were
set aside; 4 something else holds what is needed; 5 bytes are corrupt; 6 refused; 130 interrupted.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from isthmus.core.errors import ConfigError, IsthmusError
from isthmus.faces.cli.extras import missing_extra
from isthmus.faces.cli.lazily import Entry, Lazily
from isthmus.faces.cli.root import isthmus
from isthmus.faces.cli.streams import bearing

COMMANDS = (
    Entry("demo", "Tell one life in FOLDER, as a first look.", "setup"),
    Entry("init", "Make a new site in FOLDER.", "setup"),
    Entry("check", "Say everything that is wrong with the site's TOML and rules.", "setup"),
    Entry("up", "Run all that the site's TOML asks for, and keep it running.", "product"),
    Entry("status", "Show what runs, how far behind each part is, and alarms.", "product"),
    Entry("doctor", "Say what is wrong with a site, and how to mend it.", "product"),
    Entry("keys", "Explain every key of a site's TOML.", "setup"),
    Entry("sources", "List the sources and what each last brought.", "scenes"),
    Entry("ingest", "Bring one day of a source in.", "scenes"),
    Entry("query", "Ask the OLAP in SQL, read-only.", "scenes"),
    Entry("scenes", "Draw a scene, count scenes.", "scenes"),
    Entry("rules", "List the rules, and the fields that they speak of.", "mining"),
    Entry("mine", "Find scenes by a rule, or scenes like one.", "mining"),
    Entry("loop", "Train, evaluate, decide, release: runs and models.", "loop"),
    Entry("warehouse", "Look after the tables of scenes.", "warehouse"),
    Entry("table", "Make, change and look at single tables of the warehouse.", "table"),
    Entry("olap", "The OLAP database that follows the warehouse.", "scenes"),
    Entry(
        "acquire", "Ask an interface server for images, and run one.", "acquire", "acquiregate", "acquirekeeping"
    ),
    Entry("agent", "Work inside a network environment.", "acquire"),
    Entry("gallery", "Keep galleries of reference images.", "gallery"),
    Entry("gate", "Carry galleries through a gatekeeper that copies files one way.", "gate"),
    Entry("model", "Publish released models to the sites and devices behind the gate.", "model"),
    Entry("device", "Portable devices, at the sync server and on themselves.", "device", "devicemodel"),
    Entry("recovery", "Keep chosen tables on another site, ready to take over.", "recovery", "recoverynames"),
    Entry("serve", "Run a server of this site until it is interrupted.", "serve", "console"),
    Entry("user", "Users of the console: add, list, change, remove.", "people"),
    Entry("key", "API keys of programs: make, list, revoke.", "people"),
    Entry("audit", "Show who changed what, when and from where.", "people"),
)
"""The commands in the order in which help lists them, as one comes to need them: the line that help shows, and the
modules whose import adds the command with all that is below it."""

ORDER = tuple(entry.name for entry in COMMANDS)

isthmus.commands = Lazily(COMMANDS, isthmus.commands)


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code; never raises."""
    debug = "--debug" in arguments
    sys.stdout, sys.stderr = bearing(sys.stdout), bearing(sys.stderr)
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


def say(text: str, *, fold: bool = False) -> None:
    """Print a line for a person; what prints it is imported only now, for most commands never come here."""
    from isthmus.faces.cli import screen

    screen.say(text, fold=fold)


def _usage(error: click.ClickException) -> str:
    text = " ".join(error.format_message().split())
    if isinstance(error, click.UsageError) and error.ctx is not None:
        return f"{text.rstrip('.')}; see: {error.ctx.command_path} --help"
    return text


def _end(error: BaseException, code: int, debug: bool) -> int:
    if debug:
        raise error
    return code
