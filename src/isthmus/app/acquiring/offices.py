"""The server's side of an environment's gate, as a process beside the interface server."""

from __future__ import annotations

import sys
import threading

from isthmus.acquire.agent import credential as credentials
from isthmus.acquire.agent.web_desk import WebDesk
from isthmus.acquire.gate.office import Office
from isthmus.acquire.log import Log
from isthmus.app.acquiring.config import AcquireConfig
from isthmus.app.acquiring.gatepart import OfficePart
from isthmus.app.acquiring.gates import gate_site
from isthmus.app.acquiring.gateside import GateSide
from isthmus.app.acquiring.rounds import rounds
from isthmus.app.clock import SystemClock
from isthmus.core.errors import InputError
from isthmus.state.lock import held
from isthmus.state.store import Store


def run_office(config: AcquireConfig, environment: str, stop: threading.Event) -> None:
    """Claim for an environment beyond a gate and deliver what comes back, until `stop` is set.

    Logs JSON lines to stderr. Raises InputError where the TOML has no gate of that environment, where its
    credential is for another one or cannot be read, and where keys are missing; Busy where another office works.
    """
    site = gate_site(config, environment)
    part = site.part
    if not isinstance(part, OfficePart):
        raise InputError(
            f"{site.where} is the agent's side of the gate of {environment}",
            f"run there: isthmus agent --environment {environment}",
        )
    credential = credentials.load(config.place(part.credential))
    if credential.environment != environment:
        raise InputError(
            f"the credential in {part.credential} is for {credential.environment!r}, not {environment!r}",
            f"make one: isthmus acquire environment add {environment} --out {part.credential}",
        )
    name, clock = part.name or f"gate-{environment}", SystemClock()
    say = Log(sys.stderr, clock, agent=name, environment=environment)
    site.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with held(site.folder / ".lock", f"the office of {environment}"), Store(site.state) as store:
        desk = WebDesk(credential, name)
        office = Office(store, environment, desk, site.folder / "large", part.bounds, say)
        side = GateSide(site, store, office.tasks, office.results, clock)
        say("office begins")
        rounds(lambda: office.round(lambda: side.receive(say), lambda: side.send(say)), part.poll_s, stop, say)
        say("office ends")
