"""Sites of acquiring in folders, as an operator sets them up: interface server, agents and storage servers.

All of them are processes of their own that can be killed, ended and started again at the same port.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from gallery_sites import command, environment, free_port, until, write
from isthmus.acquire.client import Client, Told
from isthmus.acquire.ledger_port import Ledger
from isthmus.acquire.server import keys
from isthmus.app.acquiring.config import read_acquire_config
from isthmus.app.acquiring.environments import add_environment
from isthmus.app.acquiring.ledgers import open_ledger
from isthmus.app.clock import SystemClock

PATIENCE_S = 60.0

HUB = """[site]
name = "hub"
[acquire]
port = {port}
{shared}
[acquire.server]
lease_s = 5.0
{server}
"""
AGENT = """[site]
name = "agent"
[agent]
credential = "credential.json"
name = "{name}"
{agent}
[agent.work]
least_pause_s = 0.05
most_pause_s = 0.5
spool_after_s = 0.2
{work}
"""
LOOPBACK = """[[agent.allow]]
schemes = ["http"]
hosts = ["127.0.0.1"]
ports = [{port}]
cidr = ["127.0.0.0/8"]
"""
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Process:
    """A command line of a site as a process of its own; its stderr goes to a log in the site's folder."""

    def __init__(self, folder: Path, words: Sequence[str], log: str) -> None:
        self.folder, self.words, self.log = folder, words, folder / log
        self.process: subprocess.Popen[str] | None = None
        self.extra: dict[str, str] = {}

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def start(self) -> None:
        assert not self.running
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                command(self.folder, *self.words),
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={**environment(), **self.extra},
            )

    def kill(self) -> None:
        """End it by SIGKILL, and wait until it is gone."""
        if self.process is not None:
            self.process.kill()
            self._gone()

    def end(self, patience_s: float = PATIENCE_S) -> int:
        """End it as a service manager does; returns its exit code."""
        assert self.process is not None
        self.process.terminate()
        try:
            return self.process.wait(patience_s)
        finally:
            self.kill()

    def _gone(self) -> None:
        assert self.process is not None
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()

    def told(self) -> list[dict[str, Any]]:
        """Read the JSON lines of its log."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]


class Hub(Process):
    """An interface server at a port that stays the same; `server` is more TOML of [acquire.server].

    `shared` is more TOML of [acquire], such as the ledger that several servers share; they need a `name` each.
    """

    def __init__(self, folder: Path, server: str = "", shared: str = "", name: str = "") -> None:
        self.port = free_port()
        super().__init__(
            write(folder, HUB.format(port=self.port, server=server, shared=shared)), ("serve", "acquire"), "log"
        )
        self.url = f"http://127.0.0.1:{self.port}"
        self._keys = {role: self._made(role, f"{name}{role}") for role in ("client", "viewer", "operator")}

    @property
    def images(self) -> Path:
        return self.folder / "images"

    def start(self) -> None:
        super().start()
        assert self.process is not None
        assert self.process.stdout is not None
        line = self.process.stdout.readline().split()
        assert line == ["serving", self.url], self.log.read_text()
        until(self.answers, "the server answers", PATIENCE_S)

    def answers(self) -> bool:
        try:
            with _OPENER.open(f"{self.url}/health", timeout=10) as answer:
                return bool(answer.status == 200)
        except OSError:
            assert self.running, self.log.read_text()
            return False

    def get(self, path: str, role: str = "operator") -> str:
        """Return what a door answers to a key of a role."""
        request = urllib.request.Request(
            f"{self.url}{path}", headers={"Authorization": f"Bearer {self.key(role)}"}
        )
        with _OPENER.open(request, timeout=30) as answer:
            return str(answer.read().decode())

    def key(self, role: str) -> str:
        """Return the text of the API key of a role: client, viewer or operator, which is its name too."""
        return self._keys[role]

    def opened(self) -> contextlib.closing[Ledger]:
        """Open the ledger beside the server."""
        return contextlib.closing(open_ledger(read_acquire_config(self.folder / "isthmus.toml")))

    def _made(self, role: str, name: str) -> str:
        with self.opened() as ledger:
            text, key = keys.make(name, role, "", SystemClock().now())
            ledger.put_key(key)
        return text

    def client(self, role: str = "client") -> Client:
        """Return a client of the server."""
        return Client(self.url, self.key(role))

    def ask(self, wishes: Sequence[dict[str, Any]], *, once: str = "", role: str = "client") -> str:
        """Ask for images; returns the batch."""
        taken = self.client(role).ask(json.dumps(list(wishes)).encode(), "application/json", once=once)
        return str(taken["batch"])

    def ended(self, batch: str, patience_s: float = PATIENCE_S) -> dict[str, int]:
        """Wait until every request of a batch has ended; returns how many ended how."""
        live = {"queued", "waiting", "following", "leased", "paused"}
        client = self.client("operator")

        def over() -> dict[str, int] | None:
            counts: dict[str, int] = client.batch(batch)["counts"]
            return None if counts.keys() & live else counts

        found: dict[str, int] = until(over, f"batch {batch} ends", patience_s)
        return found

    def requests(self, batch: str, **which: object) -> list[dict[str, Any]]:
        """List all requests of a batch."""
        found: list[dict[str, Any]] = []
        while True:
            more = self.client("operator").requests(
                batch=batch, most=1000, after=found[-1]["request"] if found else 0, **which
            )
            if not more:
                return found
            found += more

    def events(self, batch: str, count: int) -> list[Told]:
        """Return the first so many events of a batch, replayed from the beginning."""
        found: list[Told] = []
        for told in self.client("operator").events(batch):
            found.append(told)
            if len(found) >= count:
                break
        return found

    def environment(self, label: str, allow: str = "", *, shared: bool = True, **more: str) -> AgentSite:
        """Set up an agent's site beside the server's, with its credential; `allow` is TOML of its rules."""
        site = AgentSite(self.folder.parent / f"agent-{label}", label, allow, **more)
        config = read_acquire_config(self.folder / "isthmus.toml")
        with self.opened() as ledger:
            out, name = site.folder / "credential.json", f"agent-{label}"
            add_environment(config, ledger, SystemClock(), label, out, name=name, shared=shared)
        return site


class AgentSite(Process):
    """An environment's agent; `agent` is more TOML of [agent], `work` of [agent.work]."""

    def __init__(self, folder: Path, label: str, allow: str = "", agent: str = "", work: str = "") -> None:
        self.label = label
        text = AGENT.format(name=f"{label}-1", agent=agent, work=work) + allow
        super().__init__(write(folder, text), ("agent", "--environment", label), "log")


class Storage(Process):
    """A storage server over a folder, at a port that stays the same."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        super().__init__(folder, (), "../storage.log")
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"

    @property
    def allow(self) -> str:
        """The rule that lets an agent get from here."""
        return LOOPBACK.format(port=self.port)

    def start(self) -> None:
        assert not self.running
        words = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", str(self.port)]
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                words, cwd=self.folder, stdout=subprocess.PIPE, stderr=log, text=True, env=os.environ
            )
        until(self._answers, "the storage server answers", PATIENCE_S)

    def _answers(self) -> bool:
        try:
            with _OPENER.open(self.url, timeout=10):
                return True
        except urllib.error.HTTPError:
            return True
        except OSError:
            assert self.running, self.log.read_text()
            return False


@contextlib.contextmanager
def running(*processes: Process) -> Iterator[None]:
    """Start processes in order, and kill in the end whatever of them still runs."""
    try:
        for process in processes:
            process.start()
        yield
    finally:
        for process in reversed(processes):
            process.kill()


def wish(storage: Storage, name: str, label: str, record: str = "", **more: Any) -> dict[str, Any]:
    """Make one wish for a file of a storage server."""
    return {"address": f"{storage.url}/{name}", "environment": label, "record": record or name, **more}


def delivered_once(hub: Hub, batch: str, requests: int) -> None:
    """Prove that each request of a batch has ended, and that there is exactly one event of each end.

    Not for batches of which something was tried again: what failed and then came has two.
    """
    with hub.opened() as ledger:
        events = ledger.events(0, 200_000, batch=batch)
    assert len(events) == requests
    assert len({event.request for event in events}) == requests
    assert {told.number for told in hub.events(batch, requests)} == {event.number for event in events}
