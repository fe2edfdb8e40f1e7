"""The gate folders of environments that no connection leaves: what was sent, what came, what is missing.

Each environment has two streams, requests one way and results the other (ADR 0015). What is shown is read from the
state of the side that this site has; nothing is made for a side that has not begun yet.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from isthmus.app.views.galleryopening import needing
from isthmus.app.views.gates import (
    AlarmShown,
    AsideShown,
    Receiving,
    Sending,
    alarm_shown,
    files_aside,
    receiving_shown,
    sending_shown,
)
from isthmus.core.errors import InputError

if TYPE_CHECKING:
    from isthmus.app.acquiring.gates import GateSite
    from isthmus.transfer.alarm import Alarm


@dataclass(frozen=True, slots=True)
class GateOfEnvironment:
    """One side of an environment's gate.

    `serving`: the server's side, which sends requests and receives results; at the agent's it is the other way
    round. `under_way` counts the records that this side has sent and the other has not yet confirmed; `begun` is
    False where nothing ran here yet, `problem` says why nothing is known.
    """

    environment: str
    serving: bool
    begun: bool = False
    sending: Sending | None = None
    receiving: Receiving | None = None
    under_way: int = 0
    aside: tuple[AsideShown, ...] = ()
    alarms: tuple[AlarmShown, ...] = ()
    problem: str = ""


def gated(path: Path) -> bool:
    """Tell whether a site's TOML speaks of an environment's gate; False where it cannot be read."""
    try:
        tables = tomllib.loads(path.read_text("utf-8-sig"))
    except (OSError, ValueError):
        return False
    parts = (tables.get(name) for name in ("acquire", "agent"))
    return any(isinstance(part, dict) and bool(part.get("gate")) for part in parts)


def gates_of_environments(path: Path) -> tuple[GateOfEnvironment, ...]:
    """List the sides of gates that a site has, by environment. Raises ConfigError, Busy, Corrupt."""
    if not gated(path):
        return ()
    with needing("acquire"):
        from isthmus.app.acquiring.config import read_acquire_config
        from isthmus.app.acquiring.gates import gate_sites

        return tuple(_shown(site) for _, site in sorted(gate_sites(read_acquire_config(path)).items()))


def _shown(site: GateSite) -> GateOfEnvironment:
    from isthmus.acquire.gate.outgoing import Outgoing
    from isthmus.app.acquiring.gateside import opened
    from isthmus.state.store import Store

    if not site.state.exists():
        return GateOfEnvironment(site.environment, site.serving)
    try:
        with opened(site) as side:
            sent, came, request = side.outbound.status(), side.inbound.status(), side.inbound.request()
        with Store(site.state) as store:
            under_way = Outgoing(store, site.sends).counts()["records"]
            aside = files_aside(store, site.receives)
    except (InputError, OSError) as error:
        return GateOfEnvironment(site.environment, site.serving, begun=True, problem=str(error))
    return GateOfEnvironment(
        site.environment,
        site.serving,
        True,
        sending_shown(sent),
        receiving_shown(came, request),
        under_way,
        aside,
        tuple(_alarm(one) for one in (*sent.alarms, *came.alarms)),
    )


def _alarm(one: Alarm) -> AlarmShown:
    """Show an alarm, with the commands of such a gate."""
    shown = alarm_shown(one)
    return replace(shown, hint=shown.hint.replace("isthmus gate", "isthmus acquire gate"))


__all__ = ["GateOfEnvironment", "gated", "gates_of_environments"]
