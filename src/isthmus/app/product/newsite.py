"""Makes a new site: the TOML of its role, with what a person answered in it."""

from __future__ import annotations

from pathlib import Path

from isthmus.app.product.questions import Answers, console_table, more_of, settings_of
from isthmus.app.product.tomledit import with_settings
from isthmus.core.errors import InputError
from isthmus.state.files import replacing


def make_site(
    folder: Path, role: str, samples: Path | None = None, answers: Answers | None = None, *, console: bool = False
) -> tuple[Path, str]:
    """Write a site into `folder`; returns its TOML and the words of the command that comes next.

    `console` adds a console where nobody was asked. Raises InputError where a site is there already.
    """
    path, following = _begun(folder, role, samples)
    if answers is None and not console:
        return path, following
    text = path.read_text(encoding="utf-8")
    if answers is not None:
        text = with_settings(text, settings_of(answers, role)) + more_of(answers)
    else:
        text += console_table()
    with replacing(path) as file:
        file.write(text.encode())
    return path, following


def _begun(folder: Path, role: str, samples: Path | None) -> tuple[Path, str]:
    """Let the starter of the role write its TOML."""
    from isthmus.app.acquiring import starter as acquiring
    from isthmus.app.galleries import starter as galleries
    from isthmus.app.recovery import starter as recovery

    if role == "loop":
        from isthmus.app.starter import write_site

        return write_site(folder, samples), "ingest --source highway --day 2026-11-20"
    if samples is not None:
        raise InputError("--samples is for the loop", "leave it out")
    if role in acquiring.NEXT:
        return acquiring.write_acquire_site(folder, role), acquiring.NEXT[role]
    if role in recovery.NEXT:
        return recovery.write_recovery_site(folder, role), recovery.NEXT[role]
    return galleries.write_gallery_site(folder, role), galleries.NEXT[role]
