"""Checks a site's TOML, whatever the site does: only what its tables speak of is imported."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from isthmus.app.sitepart import (
    ACQUIRE_TABLES,
    CONSOLE_TABLES,
    GALLERY_TABLES,
    LOOP_TABLES,
    RECOVERY_TABLES,
    UP_TABLES,
    open_toml,
)
from isthmus.core.errors import ConfigError, Mistake
from isthmus.core.progress import Report


@dataclass(frozen=True, slots=True)
class Sound:
    """What a sound site is, and notes on what is allowed but may surprise."""

    what: str
    notes: tuple[str, ...]


def check(path: Path, report: Report) -> Sound:
    """Check a site's TOML and what it names.

    Raises ConfigError with every mistake and its line, MissingExtra where a part that is named is not installed.
    """
    tables = open_toml(path).root
    galleries = any(name in tables for name in GALLERY_TABLES)
    acquiring = any(name in tables for name in ACQUIRE_TABLES)
    recovering = any(name in tables for name in RECOVERY_TABLES)
    console = any(name in tables for name in CONSOLE_TABLES)
    others = galleries or acquiring or recovering or console
    loop = not others or any(name in tables for name in LOOP_TABLES)
    mistakes: dict[Mistake, None] = {}
    what: list[str] = []
    notes: list[str] = []
    looks = (
        (acquiring, _acquire),
        (galleries, _galleries),
        (recovering, _recovery),
        (console, _console),
        (any(name in tables for name in UP_TABLES), _up),
        (loop, _loop),
    )
    for wanted, look in looks:
        if not wanted:
            continue
        try:
            found = look(path, report)
        except ConfigError as error:
            mistakes.update(dict.fromkeys(error.mistakes))
        else:
            what.append(found.what)
            notes.extend(found.notes)
    if mistakes:
        raise ConfigError(sorted(mistakes, key=lambda mistake: mistake.line or 0))
    return Sound("; ".join(what), tuple(notes))


def _acquire(path: Path, _: Report) -> Sound:
    from isthmus.app.acquiring.checking import check_acquire

    what, notes = check_acquire(path)
    return Sound(what, tuple(notes))


def _galleries(path: Path, _: Report) -> Sound:
    from isthmus.app.galleries.checking import check_galleries

    what, notes = check_galleries(path)
    return Sound(what, tuple(notes))


def _recovery(path: Path, _: Report) -> Sound:
    from isthmus.app.recovery.checking import check_recovery

    what, notes = check_recovery(path)
    return Sound(what, tuple(notes))


def _console(path: Path, _: Report) -> Sound:
    from isthmus.app.console import check_console

    what, notes = check_console(path)
    return Sound(what, tuple(notes))


def _up(path: Path, _: Report) -> Sound:
    from isthmus.app.upconfig import read_up_config

    left_out = read_up_config(path).up.leave_out
    return Sound(f"isthmus up without {', '.join(left_out)}" if left_out else "isthmus up", ())


def _loop(path: Path, report: Report) -> Sound:
    from isthmus.app.checking import check_site
    from isthmus.app.site import Site

    site = Site.open(path, report)
    notes = check_site(site)
    counts = {
        "source": len(site.config.sources),
        "rule": len(site.catalogue.names()),
        "pipeline": len(site.config.pipelines),
        "trigger": len(site.config.triggers),
    }
    return Sound(", ".join(f"{n} {what}{'' if n == 1 else 's'}" for what, n in counts.items()), tuple(notes))
