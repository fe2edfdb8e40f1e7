"""An environment's agent, wired from the site's TOML and its credential."""

from __future__ import annotations

import platform
import sys
import threading
from dataclasses import fields

from isthmus.acquire.agent import credential as credentials
from isthmus.acquire.agent.log import Log
from isthmus.acquire.agent.spool import Spool
from isthmus.acquire.agent.web_desk import WebDesk
from isthmus.acquire.agent.work import Agent
from isthmus.acquire.fetch.fetcher import Fetching
from isthmus.acquire.fetch.settings import EnvironmentRules
from isthmus.app.acquiring.config import AcquireConfig
from isthmus.app.clock import SystemClock
from isthmus.core.errors import InputError
from isthmus.state.lock import held


def run_agent(config: AcquireConfig, environment: str, stop: threading.Event) -> None:
    """Work for an environment until `stop` is set. Logs JSON lines to stderr.

    Raises InputError where the credential is for another environment or cannot be read, Refused where the server
    does not accept it, Busy where another agent works in the same folder.
    """
    part = config.environment
    credential = credentials.load(config.place(part.credential))
    if credential.environment != environment:
        raise InputError(
            f"the credential in {part.credential} is for {credential.environment!r}, not {environment!r}",
            "name its environment, or carry the right credential here",
        )
    name = part.name or platform.node() or "agent"
    clock, folder = SystemClock(), config.place(part.folder)
    say = Log(sys.stderr, clock=clock, agent=name, environment=environment)
    rules = EnvironmentRules(**{item.name: getattr(part, item.name) for item in fields(EnvironmentRules)})
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with held(folder / ".lock", f"the agent in {part.folder}"):
        fetcher = Fetching(rules, folder / "fetched")
        try:
            spool = Spool(folder / "spool", part.work.spool_bytes)
            Agent(WebDesk(credential, name), fetcher, spool, part.work, clock, say).run(stop)
        finally:
            fetcher.close()
