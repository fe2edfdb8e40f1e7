"""Which parts a site's TOML asks for. Decided from its tables alone: nothing is read, nothing is started."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from isthmus.app.upconfig import kind_of

Tables = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a site: `words` follow `isthmus --site TOML`.

    `because` is what of the TOML asks for it. A part that `tells` says a line that begins with "serving" once it
    is ready; any other is ready when it has run for a moment. One with `every_s` does its work and ends, and is
    started again after so long. `lacks` says what a person has to do before it can be started, if anything.
    """

    name: str
    words: tuple[str, ...]
    because: str
    tells: bool = True
    every_s: float = 0.0
    lacks: str = ""


@dataclass(frozen=True, slots=True)
class Known:
    """What the tables alone do not tell: the environment that the agent's credential is for, and whether the
    device is enrolled. `sync_s`: how often a device is brought up to date."""

    environment: str = ""
    enrolled: bool = False
    sync_s: float = 0.0


def parts_of(tables: Tables, known: Known = Known(), leave_out: Collection[str] = ()) -> list[Part]:
    """List the parts that the tables of a TOML ask for, the console last, without those that are left out."""
    return [part for part in _parts(tables, known) if kind_of(part.name) not in leave_out]


def _parts(tables: Tables, known: Known) -> Iterator[Part]:
    if "acquire" in tables:
        yield Part("acquire", ("serve", "acquire"), "[acquire]")
        for label in _table(_table(tables, "acquire"), "gate"):
            words = ("acquire", "office", "--environment", label)
            yield Part(f"office-{label}", words, f"[acquire.gate.{label}]", tells=False)
    if "agent" in tables:
        yield _agent(_table(tables, "agent"), known)
    yield from _galleries(tables)
    if "recovery" in tables:
        yield Part("recovery", ("serve", "recovery"), "[recovery]")
    if _table(tables, "trigger"):
        yield Part("triggers", ("loop", "serve"), "[trigger]")
    if "device" in tables and known.sync_s > 0:
        lacks = "" if known.enrolled else "it is not enrolled yet: isthmus device enrol URL --token-file FILE"
        yield Part("device", ("device", "sync"), "[device]", tells=False, every_s=known.sync_s, lacks=lacks)
    if "console" in tables:
        yield Part("console", ("serve", "console"), "[console]")


def _agent(agent: Tables, known: Known) -> Part:
    gate = _table(agent, "gate")
    label = str(gate.get("environment", "")) if gate else known.environment
    file = agent.get("credential", "agent.json")
    lacks = "" if label else f"its credential {file} is not there: at the server, isthmus acquire environment add"
    return Part("agent", ("agent", "--environment", label), "[agent]", tells=False, lacks=lacks)


def _galleries(tables: Tables) -> Iterator[Part]:
    """An inner site sends, an outer one receives: by the sync server, which follows the gate, where it has one."""
    gallery = _table(tables, "gallery")
    if gallery.get("role") == "inner" and "gate" in tables:
        yield Part("gate-send", ("gate", "send", "--watch"), "[gate] of an inner site", tells=False)
    if gallery.get("role") == "outer" and "sync" in tables:
        yield Part("sync", ("serve", "sync"), "[sync]")
    elif gallery.get("role") == "outer" and "gate" in tables:
        yield Part("gate-receive", ("gate", "receive", "--watch"), "[gate] of an outer site", tells=False)


def _table(tables: Tables, name: str) -> Tables:
    """Return a table; an empty one where there is none, or something else stands in its place."""
    found = tables.get(name)
    return found if isinstance(found, Mapping) else {}
