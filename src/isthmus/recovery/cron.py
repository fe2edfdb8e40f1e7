"""Crontab lines and systemd units that run the rounds of a site, for those who do not leave that to `serve`.

A crontab knows minutes that divide an hour, hours that divide a day, days and weeks. Another interval is made of
more frequent lines with the option that lets a round begin only when it is due. Timers of systemd count from one
round to the next by a clock that does not jump.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from isthmus.core.errors import InputError

_HOUR, _DAY, _WEEK = 60, 1440, 10_080
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.")
_BARE = _PLAIN | frozenset("/-+=:,@")


@dataclass(frozen=True, slots=True)
class Job:
    """A command to run again and again. `when_due` is added to it where it runs more often than `every`."""

    name: str
    command: tuple[str, ...]
    every: timedelta
    when_due: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.command or self.every < timedelta(seconds=1):
            raise ValueError(f"the job {self.name} has no command, or no interval of a second and more")


@dataclass(frozen=True, slots=True)
class Unit:
    """A file for systemd: its name, and its content."""

    name: str
    content: str


def crontab(site: str, jobs: Sequence[Job], env: str = "") -> list[str]:
    """Write the lines of a crontab, remarks included. `env` is a file of the shell that is read first.

    Raises InputError for what a crontab cannot hold: control characters, and backslashes, which its readers take
    in different ways.
    """
    lines = [f"# Isthmus, recovery of the site {_plain(site, 'crontab')}"]
    for job in jobs:
        when, exact = schedule(job.every)
        words = job.command if exact else (*job.command, *job.when_due)
        command = shlex.join([_plain(word, "crontab") for word in words])
        first = f". {shlex.quote(_plain(env, 'crontab'))} && " if env else ""
        lines.append(f"{when} {(first + command).replace('%', chr(92) + '%')}")
    return lines


def schedule(every: timedelta) -> tuple[str, bool]:
    """Return the five fields of a crontab for an interval, and whether they are the interval exactly.

    Where they are not, they come at a divisor of it, at least once a minute at most.
    """
    minutes = max(1, math.floor(every / timedelta(minutes=1)))
    exact = every == timedelta(minutes=minutes)
    if minutes % _WEEK == 0:
        return "0 0 * * 0", exact and minutes == _WEEK
    if minutes % _DAY == 0:
        return "0 0 * * *", exact and minutes == _DAY
    if minutes % _HOUR == 0:
        hours = math.gcd(minutes // _HOUR, 24)
        return ("0 * * * *" if hours == 1 else f"0 */{hours} * * *"), exact and minutes == hours * _HOUR
    step = math.gcd(minutes, _HOUR) if exact else 1
    return ("* * * * *" if step == 1 else f"*/{step} * * * *"), exact and minutes == step


def units(site: str, jobs: Sequence[Job], user: str = "", env: str = "") -> list[Unit]:
    """Write a service and a timer for each job. Raises InputError for control characters."""
    found = []
    for job in jobs:
        name = unit_name(site, job.name)
        about = f"Isthmus, recovery of {site}: {job.name}"
        body = [*_unit(about, network=True), "", "[Service]", "Type=oneshot", *_service(job.command, user, env)]
        found.append(Unit(f"{name}.service", _joined(body)))
        timer = ["[Timer]", "OnActiveSec=10s", f"OnUnitActiveSec={_seconds(job.every)}", "AccuracySec=1s"]
        install = ["[Install]", "WantedBy=timers.target"]
        found.append(Unit(f"{name}.timer", _joined([*_unit(about), "", *timer, "", *install])))
    return found


def server(site: str, command: Sequence[str], user: str = "", env: str = "") -> Unit:
    """Write the service that keeps `serve` running. Raises InputError for control characters."""
    body = [
        *_unit(f"Isthmus, recovery of {site}", network=True),
        "",
        "[Service]",
        "Type=exec",
        *_service(command, user, env),
        "Restart=on-failure",
        "RestartSec=5s",
        "",
        "[Install]",
        "WantedBy=multi-user.target",
    ]
    return Unit(f"{unit_name(site, '')}.service", _joined(body))


def unit_name(site: str, job: str) -> str:
    """Return the name of a unit, without its kind: what is no letter or digit in a name becomes a dash."""
    words = ("isthmus", site, "recovery", job) if job else ("isthmus", site, "recovery")
    return "-".join("".join(sign if sign in _PLAIN else "-" for sign in word) for word in words)


def _unit(about: str, network: bool = False) -> list[str]:
    lines = ["[Unit]", f"Description={_plain(about, 'unit').replace('%', '%%')}"]
    return [*lines, "Wants=network-online.target", "After=network-online.target"] if network else lines


def _service(command: Sequence[str], user: str, env: str) -> list[str]:
    words = list(command)
    if env:  # a file of the shell is more than systemd's EnvironmentFile takes
        words = ["/bin/sh", "-c", '. "$1" && shift && exec "$@"', "sh", env, *words]
    lines = [f"User={_plain(user, 'unit')}"] if user else []
    return [*lines, "ExecStart=" + " ".join(_word(word) for word in words)]


def _word(text: str) -> str:
    """Quote a word of a command as systemd.service(5) reads it."""
    plain = _plain(text, "unit").replace("%", "%%").replace("$", "$$")
    if plain and all(sign in _BARE for sign in plain):
        return plain
    return '"' + plain.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _plain(text: str, where: str) -> str:
    wrong = next((sign for sign in text if ord(sign) < 32 or ord(sign) == 127), "")
    if not wrong and where == "crontab" and "\\" in text:
        wrong = "\\"
    if wrong:
        raise InputError(
            f"{text!r} has {wrong!r}, which no {where} can hold", "use another path, or let `serve` run the rounds"
        )
    return text


def _seconds(span: timedelta) -> str:
    seconds = span.total_seconds()
    return f"{int(seconds)}s" if seconds == int(seconds) else f"{int(seconds * 1000)}ms"


def _joined(lines: Sequence[str]) -> str:
    return "\n".join(lines) + "\n"
