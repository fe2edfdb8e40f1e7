"""Looks at what lies on this machine's disks: folders, free space, secrets, and whether state files are sound."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from isthmus.app.product.finding import Finding, error, note, warning
from isthmus.app.product.surroundings import Folder, Secret

_STATE_FILES = ("*.sqlite", "*.db", "*/*.sqlite", "acquire/gates/*/*.sqlite")
_GB, _MB = 1e9, 1e6


def folders(things: Iterable[Folder]) -> Iterator[Finding]:
    """Look whether folders can be written, or made."""
    for one in things:
        there = nearest(one.path)
        if there == one.path and not one.path.is_dir():
            yield error(f"{one.what} is no folder", one.path, "move what lies there away, or name another folder")
        elif there != one.path and not one.made:
            yield error(f"{one.what} is not there: nothing crosses before it is", one.path, f"mkdir -p {one.path}")
        elif not os.access(there, os.W_OK | os.X_OK):
            yield error(
                f"{one.what} cannot be written", there, f"give its rights to this user: chown -R USER {there}"
            )


def space(paths: Iterable[Path]) -> Iterator[Finding]:
    """Look how much room the disks of some folders have, each disk once."""
    seen: set[int] = set()
    for path in paths:
        there = nearest(path)
        device = there.stat().st_dev
        if device in seen:
            continue
        seen.add(device)
        usage = shutil.disk_usage(there)
        share = usage.free / usage.total if usage.total else 0.0
        told = f"{usage.free / _GB:.1f} GB of {usage.total / _GB:.0f} GB are free"
        finding = judged_space(usage.free, share)
        mend = "make room, or move the site to a larger disk"
        if finding == "error":
            yield error(f"the disk is full: {told}", there, mend)
        elif finding == "warning":
            yield warning(f"the disk is nearly full: {told}", there, mend)
        else:
            yield note(told, there)


def judged_space(free: float, share: float) -> str:
    """Judge free bytes and their share of the disk: error, warning, or empty."""
    if free < 100 * _MB or share < 0.005:
        return "error"
    return "warning" if free < _GB or share < 0.05 else ""


def secrets(things: Iterable[Secret]) -> Iterator[Finding]:
    """Look whether files with secrets are there, can be read, and are their owner's alone."""
    for one in things:
        try:
            mode = one.path.stat().st_mode
        except FileNotFoundError:
            if not one.made:
                yield error(f"{one.what} is not there", one.path, one.mend)
            continue
        except OSError as problem:
            yield error(f"{one.what} cannot be reached: {problem.strerror}", one.path, "mend the folder's rights")
            continue
        if not stat.S_ISREG(mode):
            yield error(f"{one.what} is no file", one.path, one.mend)
        elif not os.access(one.path, os.R_OK):
            yield error(f"{one.what} cannot be read by this user", one.path, f"chown USER {one.path}")
        elif mode & 0o077:
            yield error(f"others can read {one.what} (mode {mode & 0o777:04o})", one.path, f"chmod 600 {one.path}")
        elif not one.path.stat().st_size and not one.made:
            yield error(f"{one.what} is empty", one.path, one.mend)


def states(folders_: Iterable[Path]) -> Iterator[Finding]:
    """Check the SQLite files of some folders of state, without writing to any."""
    for file in sorted({file for folder in folders_ for file in _state_files(folder)}):
        if file.stat().st_mode & 0o077:
            mode = file.stat().st_mode & 0o777
            yield warning(f"others can read a state file (mode {mode:04o})", file, f"chmod 600 {file}")
        if wrong := unsound(file):
            yield error(f"a state file is damaged: {wrong}", file, "end the site and restore it from a backup")


def _state_files(folder: Path) -> Iterator[Path]:
    """List the state files of a folder: where they may lie, and not among its images, which may be millions."""
    with contextlib.suppress(OSError):
        yield from (file for pattern in _STATE_FILES for file in folder.glob(pattern))


def unsound(file: Path) -> str:
    """Say what is wrong with a SQLite file; empty where it is sound. An empty file is one that was just made."""
    if not file.stat().st_size:
        return ""
    try:
        said = _asked(file, "PRAGMA quick_check(1)")[0][0]
    except sqlite3.Error as problem:
        return str(problem)
    return "" if said == "ok" else str(said)


def read_only(file: Path, sql: str) -> list[tuple[Any, ...]]:
    """Read rows of a SQLite file without writing to it; none where it, or its table, is not there."""
    try:
        return _asked(file, sql) if file.exists() else []
    except sqlite3.Error:
        return []


def _asked(file: Path, sql: str) -> list[tuple[Any, ...]]:
    """Ask a SQLite file. Where no log lies beside it nobody writes it, and none is made beside it by looking."""
    at_rest = "" if file.with_name(f"{file.name}-wal").exists() else "&immutable=1"
    connection = sqlite3.connect(f"file:{_quoted(file)}?mode=ro{at_rest}", uri=True, timeout=10)
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


def nearest(path: Path) -> Path:
    """Return a path, or the nearest folder above it that is there."""
    while not path.exists() and path != path.parent:
        path = path.parent
    return path


def _quoted(file: Path) -> str:
    """Write a path for a URI of SQLite: ?, # and % mean something there."""
    return str(file).replace("%", "%25").replace("?", "%3f").replace("#", "%23")
