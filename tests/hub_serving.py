"""A site's server on a free port, in a thread: the real application, guard and runner; a program stands in."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from isthmus.app.clock import SystemClock
from isthmus.app.console import read_console_config
from isthmus.app.people.access import Access
from isthmus.app.people.person import Role
from isthmus.app.people.trail import Actor
from isthmus.app.works.recipe import Recipes
from isthmus.app.works.runner import Runner, WorksSettings
from isthmus.faces.console.application import site_application
from isthmus.faces.http.hub.guard import guard_of
from isthmus.faces.http.hub.hub import Hub
from isthmus.faces.http.hub.server import HubServer
from works_making import QUICK, RECIPES, STAND_IN, runner_in


@dataclass(frozen=True)
class Served:
    """A server that runs: where, the keys by role, and its works."""

    url: str
    keys: Mapping[Role, str]
    runner: Runner
    folder: Path


@contextmanager
def serving(
    folder: Path,
    settings: WorksSettings = QUICK,
    recipes: Callable[[], Recipes] = lambda: RECIPES,
    program: Sequence[str] = STAND_IN,
) -> Iterator[Served]:
    """Serve a site for a block; where there is no TOML yet, one without anything."""
    site = folder / "isthmus.toml"
    if not site.exists():
        site.write_text('[site]\nname = "inner"\n', "utf-8")
    config, clock = read_console_config(site), SystemClock()
    runner = runner_in(folder, settings, recipes, program)
    runner.open()
    with Access(config.people_file, clock) as access:
        keys = {role: access.keys.add(f"the-{role}", role, Actor("test", "here"), None).text for role in Role}
    hub = Hub(
        site,
        (site,),
        guard_of(config, clock),
        runner,
        clock,
        grave=frozenset(name for name, one in recipes().items() if one.grave),
    )
    server = HubServer(site_application(hub))
    bound = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, name="server")
    thread.start()
    try:
        yield Served(f"http://127.0.0.1:{bound.getsockname()[1]}", keys, runner, folder)
    finally:
        server.should_exit = True
        thread.join()
        runner.close()
        bound.close()
