"""What the overview reads of each capability of a site, by the table of its TOML that asks for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from isthmus.app.views import acquire as acquiring
from isthmus.app.views import devices, gates
from isthmus.app.views.environmentgates import GateOfEnvironment, gates_of_environments
from isthmus.app.views.looking import Boundary, End, Figure, Health, Look, table_of
from isthmus.app.views.recovery import RULES, AlarmSeen, recovery_of
from isthmus.core.errors import InputError

Tables = Mapping[str, Any]
Reading = Callable[[Look, Path, Tables, datetime], None]
_LATEST_RUNS = 10
_SILENT_S = 120.0
"""An agent that was not heard for so long is not counted as one that works."""


def _gallery(look: Look, toml: Path, tables: Tables, now: datetime) -> None:
    role = str(table_of(tables, "gallery").get("role", ""))
    stream = str(table_of(tables, "gallery").get("stream", "galleries"))
    look.kinds.append(role)
    if "gate" in tables:
        _gate(look, toml, stream, role == "inner")
    if role == "outer" and "sync" in tables:
        _sync(look, toml, now)


def _gate(look: Look, toml: Path, stream: str, gives: bool) -> None:
    shown = look.read(lambda: gates.gate(toml), None)
    figures: list[Figure] = []
    if shown is not None:
        look.alarms += [AlarmSeen(one.kind, one.what, one.hint, one.since) for one in shown.alarms]
        if shown.problem:
            look.flaws.append(shown.problem)
        if shown.sending is not None:
            figures = [Figure("gate-waiting", shown.sending.waiting)]
            look.figures.append(Figure("gate-waiting", shown.sending.waiting))
        if shown.receiving is not None:
            came = shown.receiving
            figures = [Figure("gate-behind", came.lag), Figure("gate-heard", came.heard, "moment")]
            look.figures += [Figure("gate-behind", came.lag), Figure("gate-quarantined", came.quarantined)]
    health: Health = "unknown"
    if shown is not None and not shown.problem:
        busy = any(one.value for one in figures if one.unit == "count")
        health = "alarm" if shown.alarms else "waiting" if busy else "well"
    look.ends.append(End("gate", stream, gives, "beyond-gate", tuple(figures), health))


def _sync(look: Look, toml: Path, now: datetime) -> None:
    look.kinds.append("sync")
    fleet = look.read(lambda: devices.fleet(toml), None)
    if fleet is None:
        return
    counts = dict(fleet.counts)
    enrolled = counts.get("enrolled", counts.get("active", 0))
    seen = max((one.seen for one in fleet.devices if one.seen), default=None)
    behind = max((one.behind or 0 for one in fleet.devices), default=0)
    figures = (
        Figure("devices", sum(counts.values())),
        Figure("sync-behind", behind),
        Figure("sync-seen", seen, "moment"),
    )
    look.figures.append(Figure("devices", sum(counts.values())))
    health: Health = "waiting" if behind else "well" if enrolled or counts else "unknown"
    look.ends.append(End("sync", "devices", True, "devices", figures, health))


def _device(look: Look, toml: Path, tables: Tables, now: datetime) -> None:
    from isthmus.app.views.galleryopening import config_of, portable_of

    look.kinds.append("device")

    def synced() -> tuple[int, datetime | None]:
        with portable_of(config_of(toml)) as portable:
            held = list(portable.site.list()) if portable is not None else []
        times = [datetime.fromisoformat(one.synced) for one in held if one.synced]
        return len(held), min(times, default=None)

    nothing: tuple[int, datetime | None] = (0, None)
    count, oldest = look.read(synced, nothing)
    look.figures += [Figure("galleries", count), Figure("synced", oldest, "moment")]
    look.ends.append(
        End(
            "sync",
            "devices",
            False,
            "sync-server",
            (Figure("synced", oldest, "moment"),),
            "well" if oldest else "unknown",
        )
    )


def _acquire(look: Look, toml: Path, tables: Tables, now: datetime) -> None:
    look.kinds.append("acquire")
    gated = set(table_of(table_of(tables, "acquire"), "gate"))
    told = look.read(lambda: acquiring.environments(toml, now), None)
    crossing = _crossing(look, toml)
    waiting = 0
    for one in told.environments if told is not None else ():
        queued = sum(one.counts.get(state, 0) for state in ("queued", "waiting", "leased"))
        waiting += queued
        alive = sum(agent.silent_s < _SILENT_S for agent in one.agents)
        figures = (
            Figure("acquire-waiting", queued),
            Figure("acquire-images", one.images),
            Figure("agents", alive if told is not None and told.server else None),
        )
        gate = crossing.pop(one.environment, None)
        stuck = queued > 0 and told is not None and told.server and not alive and one.environment not in gated
        needs = stuck or (gate is not None and _wrong(gate))
        health: Health = "alarm" if needs else "waiting" if queued else "well"
        boundary: Boundary = "acquire-gate" if one.environment in gated else "acquire"
        look.ends.append(End(boundary, one.environment, False, one.environment, figures, health))
    for label, gate in crossing.items():  # nothing was asked of it yet
        look.ends.append(End("acquire-gate", label, False, label, _figures(gate), _health(gate)))
    look.figures.append(Figure("acquire-waiting", waiting))


def _crossing(look: Look, toml: Path) -> dict[str, GateOfEnvironment]:
    """Look at the gates of environments that a site has a side of, and tell their alarms; by environment."""
    nothing: tuple[GateOfEnvironment, ...] = ()
    found = look.read(lambda: gates_of_environments(toml), nothing)
    for gate in found:
        look.alarms += [AlarmSeen(one.kind, one.what, one.hint, one.since) for one in gate.alarms]
        if gate.problem:
            look.flaws.append(gate.problem)
    return {gate.environment: gate for gate in found}


def _wrong(gate: GateOfEnvironment) -> bool:
    return bool(gate.alarms or gate.problem)


def _health(gate: GateOfEnvironment) -> Health:
    return "alarm" if _wrong(gate) else "unknown" if not gate.begun else "waiting" if gate.under_way else "well"


def _figures(gate: GateOfEnvironment) -> tuple[Figure, ...]:
    heard = gate.receiving.heard if gate.receiving is not None else None
    return Figure("acquire-waiting", gate.under_way), Figure("gate-heard", heard, "moment")


def _agent(look: Look, toml: Path, tables: Tables, now: datetime) -> None:
    from isthmus.app.product.asked import asked_for
    from isthmus.app.product.parts import Part
    from isthmus.app.upconfig import read_up_config

    look.kinds.append("agent")
    parts: list[Part] = look.read(lambda: asked_for(read_up_config(toml)), [])
    label = next((part.words[-1] for part in parts if part.name == "agent"), "")
    if label:
        boundary: Boundary = "acquire-gate" if "gate" in table_of(tables, "agent") else "acquire"
        gate = _crossing(look, toml).get(label)
        health: Health = "unknown" if gate is None else _health(gate)
        look.ends.append(End(boundary, label, True, "acquire-server", health=health))


def _recovery(look: Look, toml: Path, tables: Tables, now: datetime) -> None:
    try:
        seen = look.read(lambda: recovery_of(toml, now), None)
    except InputError as error:
        look.flaws.append(str(error))
        return
    if seen is None:
        return
    look.kinds.append(seen.role)
    look.alarms += seen.alarms
    look.flaws += seen.flaws
    behind = Figure("rpo", seen.behind_s, "seconds")
    look.figures += [behind, Figure("tables", len(seen.tables))]
    figures = [behind, Figure("barrier", seen.shows, "text")]
    if seen.other is not None:
        figures.append(Figure("peer-heard", seen.other.made.astimezone(UTC), "moment"))
    health: Health = (
        "alarm" if seen.alarms or seen.role == "fenced" else "unknown" if seen.other is None else "well"
    )
    if "abnormal" in (seen.primary.state, seen.standby.state) and seen.other is not None:
        health = "alarm"
    stream = str(table_of(tables, "recovery").get("stream", "recovery"))
    look.ends.append(End("recovery", stream, seen.role in RULES, seen.peer, tuple(figures), health))


def _loop(look: Look, toml: Path, tables: Tables, now: datetime) -> None:
    from isthmus.app.views.runs import RunShown, list_runs

    if "loop" in look.kinds:  # another of its tables led here already
        return
    look.kinds.append("loop")
    nothing: tuple[RunShown, ...] = ()
    latest = look.read(lambda: list_runs(toml, limit=_LATEST_RUNS), nothing)
    look.figures.append(Figure("runs-going", sum(run.going for run in latest)))
    if not latest:
        return
    last = latest[0]
    look.figures += [
        Figure("run", f"{last.pipeline}: {last.state}", "text"),
        Figure("run-at", last.changed, "moment"),
    ]
    failed = [run for run in latest if run.open and run.error and not run.going]
    look.alarms += [
        AlarmSeen("RUN", f"{run.id}: {run.error}", f"isthmus loop resume {run.id}", run.changed) for run in failed
    ]
    look.healths.append("waiting" if any(run.going for run in latest) else "well")


LOOKS: Mapping[str, Reading] = {
    "acquire": _acquire,
    "agent": _agent,
    "gallery": _gallery,
    "device": _device,
    "recovery": _recovery,
    "source": _loop,
    "pipeline": _loop,
}
"""By table, in the order in which a site is described."""
