"""An environment's agent, wired from the site's TOML and its credential."""

from __future__ import annotations

import contextlib
import platform
import sys
import threading
from collections.abc import Iterator
from dataclasses import fields

from isthmus.acquire.agent import credential as credentials
from isthmus.acquire.agent.spool import Spool
from isthmus.acquire.agent.web_desk import WebDesk
from isthmus.acquire.agent.work import Agent
from isthmus.acquire.fetch.fetcher import Fetching
from isthmus.acquire.fetch.settings import EnvironmentRules
from isthmus.acquire.log import Log, Say
from isthmus.acquire.ports import Desk
from isthmus.app.acquiring.config import AcquireConfig
from isthmus.app.clock import SystemClock
from isthmus.core.errors import InputError
from isthmus.state.lock import held


def run_agent(config: AcquireConfig, environment: str, stop: threading.Event) -> None:
    """Work for an environment until `stop` is set. Logs JSON lines to stderr.

    Raises InputError where the credential or the gate is for another environment or cannot be read, Refused where
    the server does not accept it, Busy where another agent works in the same folder.
    """
    part = config.environment
    desk_of = _by_gate if part.gate is not None else _by_web
    name = part.name or platform.node() or "agent"
    clock, folder = SystemClock(), config.place(part.folder)
    say = Log(sys.stderr, clock, agent=name, environment=environment)
    rules = EnvironmentRules(**{item.name: getattr(part, item.name) for item in fields(EnvironmentRules)})
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (
        held(folder / ".lock", f"the agent in {part.folder}"),
        desk_of(config, environment, name, say) as desk,
        contextlib.closing(Fetching(rules, folder / "fetched")) as fetcher,
    ):
        spool = Spool(folder / "spool", part.work.spool_bytes)
        Agent(desk, fetcher, spool, part.work, clock, say).run(stop)


@contextlib.contextmanager
def _by_web(config: AcquireConfig, environment: str, name: str, _: Say) -> Iterator[Desk]:
    """Lend the server at the address that the credential tells."""
    file = config.environment.credential
    credential = credentials.load(config.place(file))
    if credential.environment != environment:
        raise InputError(
            f"the credential in {file} is for {credential.environment!r}, not {environment!r}",
            "name its environment, or carry the right credential here",
        )
    yield WebDesk(credential, name)


@contextlib.contextmanager
def _by_gate(config: AcquireConfig, environment: str, name: str, say: Say) -> Iterator[Desk]:
    """Lend the server behind gate folders, and carry bundles meanwhile. No address is known or needed."""
    from isthmus.acquire.gate.outpost import GateDesk
    from isthmus.app.acquiring.gates import gate_sites
    from isthmus.app.acquiring.rounds import OutpostRounds

    part = config.environment.gate
    assert part is not None
    if part.environment != environment:
        raise InputError(
            f"{config.path}: [agent.gate] is of {part.environment!r}, not {environment!r}",
            "name its environment, or correct the table",
        )
    site = gate_sites(config)[environment]
    site.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    carrying = OutpostRounds(site, say)
    desk = GateDesk(site.state, environment, name, part.bounds)
    carrying.start()
    try:
        yield desk
    finally:
        carrying.stop()
