"""Looks at the installation and the machine: extras, versions, clock, time zone, limits."""

from __future__ import annotations

import os
import platform
import re
import resource
import sqlite3
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from isthmus.app.product.filelooks import read_only
from isthmus.app.product.finding import Finding, error, note, warning
from isthmus.app.upconfig import kind_of

_EXTRAS: dict[str, tuple[str, ...]] = {
    "acquire": ("acquire",),
    "office": ("acquire",),
    "agent": ("agent",),
    "gate-send": ("gallery",),
    "gate-receive": ("gallery",),
    "sync": ("sync",),
    "recovery": ("recovery",),
    "triggers": ("train",),  # a trigger's pipeline trains
    "device": ("gallery",),
    "console": ("console",),
}
_LEAST_SQLITE = (3, 35, 0)
_CLOCK_SLACK_S = 300.0
_SERVERS = {"acquire", "sync", "console", "recovery"}
_LEAST_FILES = 1024
_REQUIRED = re.compile(r"([A-Za-z0-9._-]+)(?:\[([a-z0-9, -]+)\])?[^;]*;.*extra\s*==\s*['\"]([a-z0-9-]+)['\"]")


def extras(parts: Iterable[str]) -> Iterator[Finding]:
    """Look whether what each part needs is installed, as the package's own metadata says it."""
    for extra in dict.fromkeys(extra for part in parts for extra in extras_of(part)):
        if lacking := missing(extra):
            yield error(
                f"the extra {extra} is not whole; it lacks {', '.join(lacking)}",
                "",
                f"pip install 'isthmus[{extra}]'",
            )


def extras_of(part: str) -> tuple[str, ...]:
    """Return the extras without which a part cannot do its work."""
    return _EXTRAS.get(kind_of(part), ())


def missing(extra: str, seen: frozenset[str] = frozenset()) -> list[str]:
    """List the distributions of an extra that are not installed, those of the extras it is made of too."""
    lacking: list[str] = []
    for line in metadata.requires("isthmus") or ():
        found = _REQUIRED.match(line)
        if found is None or found[3] != extra:
            continue
        if found[1] == "isthmus":
            for inner in (found[2] or "").replace(" ", "").split(","):
                if inner and inner not in seen:
                    lacking += missing(inner, seen | {extra})
            continue
        try:
            metadata.version(found[1])
        except metadata.PackageNotFoundError:
            lacking.append(found[1])
    return list(dict.fromkeys(lacking))


def versions() -> Iterator[Finding]:
    """Tell the versions that matter, and look whether SQLite is new enough."""
    told = [
        f"isthmus {_version('isthmus')}",
        f"Python {platform.python_version()}",
        f"SQLite {sqlite3.sqlite_version}",
    ]
    told += [f"{name} {found}" for name in ("pylance", "duckdb", "pyarrow") if (found := _version(name))]
    yield note(", ".join(told))
    if sqlite3.sqlite_version_info < _LEAST_SQLITE:
        yield error(f"SQLite {sqlite3.sqlite_version} is too old", "", "install Python with SQLite 3.35 or newer")


def readers(parts: Iterable[str]) -> Iterator[Finding]:
    """Look whether the quick reader of JPEG pictures was built, where pictures are filed."""
    if "acquire" in map(kind_of, parts) and find_spec("isthmus.imaging._entropy") is None:
        yield note(
            "JPEG pictures are read by libjpeg-turbo alone, in twice the time: the reader in C was not built",
            "",
            "install gcc and Python's headers (apt-get install gcc python3-dev), then install Isthmus anew",
        )


def clock(folders: Iterable[Path], now: float | None = None) -> Iterator[Finding]:
    """Look whether the clock is behind the newest file of the site, or is known not to be set."""
    now = time.time() if now is None else now
    newest = max(((file.stat().st_mtime, file) for folder in folders for file in _files(folder)), default=None)
    if newest is not None and newest[0] > now + _CLOCK_SLACK_S:
        behind = newest[0] - now
        mend = "set the clock (timedatectl set-ntp true): times of rounds, leases and certificates depend on it"
        yield error(f"the clock is {behind:.0f} s behind a file that was written here", newest[1], mend)
    if Path("/run/systemd/timesync").is_dir() and not Path("/run/systemd/timesync/synchronized").exists():
        yield warning(
            "the clock is not synchronised", "systemd-timesyncd", "timedatectl timesync-status tells why"
        )


def peer_clock(state: Path, now: float | None = None) -> Iterator[Finding]:
    """Look whether the other site's last report comes from the future; its number tells when it was made, in ms.

    `state` is the state's file with what was heard.
    """
    now = time.time() if now is None else now
    rows = read_only(state, "SELECT max(number) FROM report_heard WHERE kind = 'report'")
    ahead = rows[0][0] / 1000 - now if rows and rows[0][0] else 0.0
    if ahead > _CLOCK_SLACK_S:
        mend = "set the clock of whichever site is wrong"
        yield warning(f"the other site's clock is {ahead:.0f} s ahead of this one", "[recovery]", mend)


def limits(parts: Iterable[str]) -> Iterator[Finding]:
    """Look whether a server may open as many files as it needs connections."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < _LEAST_FILES and _SERVERS & {kind_of(part) for part in parts}:
        mend = "ulimit -n 8192, or LimitNOFILE=8192 in the unit"
        yield warning(f"only {soft} files may be open at a time: each connection is one", "", mend)


def zone(name: str) -> Iterator[Finding]:
    """Tell the site's time zone where the machine has another: schedules follow the site's."""
    own = os.environ.get("TZ") or _machine_zone()
    if own and not _alike(own, name):
        yield note(f"schedules and days are of {name}, this machine's zone is {own}", "[site] timezone")


def _alike(one: str, other: str) -> bool:
    """Tell whether two zones show the same time, in winter and in summer."""
    try:
        zones = ZoneInfo(one), ZoneInfo(other)
    except (ZoneInfoNotFoundError, ValueError):
        return one == other
    moments = (datetime(2026, month, 15, 12, tzinfo=UTC) for month in (1, 4, 7, 10))
    return all(
        moment.astimezone(zones[0]).utcoffset() == moment.astimezone(zones[1]).utcoffset() for moment in moments
    )


def _machine_zone() -> str:
    link = Path("/etc/localtime")
    return str(link.readlink()).partition("zoneinfo/")[2] if link.is_symlink() else ""


def _files(folder: Path) -> Iterator[Path]:
    if folder.is_dir():
        yield from (file for file in folder.iterdir() if file.is_file())


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""
