"""How far behind each part of a site is, and its alarms: told by the capabilities' own status, running or not.

Nothing is made: a part whose state is not there yet has nothing to tell.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from isthmus.app.upconfig import UpConfig, kind_of

if TYPE_CHECKING:
    from isthmus.transfer.alarm import Alarm


@dataclass(frozen=True, slots=True)
class Lag:
    """What one part tells: `text` for a person, `figures` the same as plain values, and what a person has to know.

    Each alarm is what is wrong and, where it is known, what to do.
    """

    text: str = ""
    figures: Mapping[str, Any] = field(default_factory=dict)
    alarms: tuple[str, ...] = ()


NOTHING = Lag("nothing yet")


def lag_of(config: UpConfig, part: str) -> Lag:
    """Return how far behind a part is.

    Raises IsthmusError, OSError where that cannot be told, ModuleNotFoundError where its extra is missing.
    """
    look = _LOOKS.get(kind_of(part))
    return look(config, part) if look is not None else Lag()


def _acquire(config: UpConfig, _: str) -> Lag:
    from isthmus.app.acquiring.config import read_acquire_config
    from isthmus.app.acquiring.ledgers import open_ledger

    acquire = read_acquire_config(config.path)
    if not acquire.server.shared and not (acquire.state_folder / "ledger.sqlite").exists():
        return NOTHING
    with closing(open_ledger(acquire)) as ledger:
        depths = ledger.depths(datetime.now(UTC))
    waiting = sum(one.counts.get("queued", 0) + one.counts.get("waiting", 0) for one in depths)
    leased = sum(one.counts.get("leased", 0) for one in depths)
    oldest = max((one.oldest_s for one in depths), default=0.0)
    text = f"{waiting} wait, {leased} under way" + (f", the oldest for {span(oldest)}" if oldest >= 1 else "")
    return Lag(text, {"waiting": waiting, "leased": leased, "oldest_s": round(oldest, 1)})


def _office(config: UpConfig, part: str) -> Lag:
    return _gate_side(config, part.removeprefix("office-"))


def _agent(config: UpConfig, _: str) -> Lag:
    from isthmus.app.acquiring.config import read_acquire_config

    acquire = read_acquire_config(config.path)
    agent = acquire.environment
    if agent.gate is not None:
        return _gate_side(config, agent.gate.environment)
    spool = acquire.place(agent.folder) / "spool"
    waiting = sum(not file.name.startswith(".") for file in spool.iterdir()) if spool.is_dir() else 0
    return Lag(f"{waiting} results wait for the server", {"spooled": waiting})


def _gate_side(config: UpConfig, environment: str) -> Lag:
    from isthmus.app.acquiring.config import read_acquire_config
    from isthmus.app.acquiring.gates import gate_site
    from isthmus.app.acquiring.gateside import opened

    site = gate_site(read_acquire_config(config.path), environment)
    if not site.state.exists():
        return NOTHING
    with opened(site) as side:
        out, came = side.outbound.status(), side.inbound.status()
    text = f"{out.waiting} not sent, {came.lag} behind"
    return Lag(text, {"waiting": out.waiting, "behind": came.lag}, told((*out.alarms, *came.alarms)))


def _sending(config: UpConfig, _: str) -> Lag:
    from isthmus.app.galleries.inner import Inner

    if not (config.state_folder / "isthmus.sqlite").exists():
        return NOTHING
    inner = Inner.open(config.path)
    with inner.store:
        now = inner.outbound.status()
    return Lag(f"{now.waiting} changes not sent", {"waiting": now.waiting}, told(now.alarms))


def _receiving(config: UpConfig, _: str) -> Lag:
    from isthmus.app.galleries.outer import Outer

    if not (config.state_folder / "isthmus.sqlite").exists():
        return NOTHING
    with closing(Outer.open(config.path)) as outer:
        if not outer.gated:
            return Lag("follows no gate")
        now = outer.inbound.status()
    alarms = told(now.alarms)
    most = outer.config.sync.lag_alarm if outer.config.sync is not None else None
    if most is not None and now.lag > most:
        alarms += (f"LAG: {now.lag} changes behind the sender; see what is missing: isthmus gate status",)
    heard = now.heard.isoformat(timespec="seconds") if now.heard else None
    return Lag(f"{now.lag} changes behind", {"behind": now.lag, "heard": heard}, alarms)


def _recovery(config: UpConfig, _: str) -> Lag:
    from isthmus.app.recovery.config import read_recovery_config
    from isthmus.app.recovery.picture import opened, picture_with

    if not (config.state_folder / "isthmus.sqlite").exists():
        return NOTHING
    with closing(opened(read_recovery_config(config.path))) as site:
        fence, behind = site.pair.fence, picture_with(site, site.post.heard()).behind
        sends = fence.role in ("primary", "yielding")
        alarms = (site.outbound if sends else site.inbound).status().alarms
    lost = "nothing was shown yet" if behind is None else f"a failover would lose {span(behind.total_seconds())}"
    figures = {"role": fence.role, "behind_s": None if behind is None else behind.total_seconds()}
    return Lag(f"{fence.role}; {lost}", figures, told(alarms, "isthmus recovery"))


def _triggers(config: UpConfig, _: str) -> Lag:
    from isthmus.app.schedules import timetable
    from isthmus.app.site import Site

    if not (config.state_folder / "isthmus.sqlite").exists():
        return NOTHING
    site = Site.open(config.path)
    with site.store:
        times = list(timetable(site))
        runs = site.ledger.runs()
    after = min((one.after for one in times if one.after), default=None)
    latest = {run.pipeline: run for run in reversed(runs)}  # they come newest first
    wrong = tuple(
        f"run {run.id} of {run.pipeline} failed: {run.error}; go on with: isthmus loop resume {run.id}"
        for run in latest.values()
        if run.is_open and run.error
    )
    text = f"next at {after:%Y-%m-%d %H:%M}" if after else "none fires again"
    return Lag(text, {"next": after and after.isoformat(), "open_runs": sum(run.is_open for run in runs)}, wrong)


def _device(config: UpConfig, _: str) -> Lag:
    from isthmus.app.galleries.device import Portable

    if not (config.place(str(config.tables["device"].get("folder", "device"))) / "enrolment.json").exists():
        return Lag("not enrolled yet")
    portable = Portable.open(config.path)
    with portable.site:
        held = list(portable.site.list())
    synced = [datetime.fromisoformat(one.synced) for one in held if one.synced]
    oldest = min(synced, default=None)
    ago = span((datetime.now(UTC) - oldest).total_seconds()) if oldest else ""
    wrong = tuple(
        f"{one.gallery} differs from the server's: isthmus device sync"
        for one in held
        if one.synced and not one.verified
    )
    text = f"{len(held)} galleries, brought up to date {ago} ago" if oldest else "never brought up to date"
    return Lag(text, {"galleries": len(held), "synced": oldest and oldest.isoformat()}, wrong)


_LOOKS: dict[str, Callable[[UpConfig, str], Lag]] = {
    "acquire": _acquire,
    "office": _office,
    "agent": _agent,
    "gate-send": _sending,
    "gate-receive": _receiving,
    "sync": _receiving,
    "recovery": _recovery,
    "triggers": _triggers,
    "device": _device,
}


def told(alarms: Iterable[Alarm], commands: str = "isthmus gate") -> tuple[str, ...]:
    """Write alarms as lines, each with what to do; `commands` is how the commands of their gate begin."""
    return tuple(
        f"{alarm.kind.name}: {alarm.what}; {alarm.hint.replace('isthmus gate', commands)}" for alarm in alarms
    )


def span(seconds: float) -> str:
    """Write a span of time for a person."""
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"
