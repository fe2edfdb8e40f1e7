"""An environment that is reached through gate folders: office, agent, and a gatekeeper that a test steers."""

from __future__ import annotations

import random
import shutil
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from acquire_sites import AgentSite, Hub, Process
from gallery_sites import isthmus
from isthmus.acquire.gate.incoming import Incoming
from isthmus.acquire.gate.outgoing import Outgoing
from isthmus.app.acquiring.config import read_acquire_config
from isthmus.app.acquiring.environments import add_environment
from isthmus.app.acquiring.gates import gate_site
from isthmus.app.acquiring.gateside import opened
from isthmus.app.clock import SystemClock
from isthmus.state.store import Store
from isthmus.transfer.signing import SigningKey
from isthmus.transfer.standing import InboundStatus

ASK, GOT = "ask", "got"

_TABLE = """
[{table}]
{own}
out_folder = "{out}"
in_folder = "{into}"
trust = ["{trust}"]
cut_mb = {cut_mb}
cut_s = 0
carousel_files = 0
gap_alarm_s = 0
settle_s = 0.2
poll_s = 0.05
{more}
"""


class Gated:
    """Both sides of an environment's gate as sites. `carried`: by road, what lies before and behind the gate."""

    def __init__(self, hub: Hub, label: str, allow: str, more: str = "") -> None:
        """Make the credential, exchange keys, and write the tables. The agent gets no credential."""
        folder = hub.folder.parent / f"gate-{label}"
        self.roads = {road: (folder / f"{road}-in", folder / f"{road}-out") for road in (ASK, GOT)}
        for before, behind in self.roads.values():
            before.mkdir(parents=True)
            behind.mkdir()
        self.hub, self.label = hub, label
        with hub.opened() as ledger:
            add_environment(
                read_acquire_config(hub.folder / "isthmus.toml"), ledger, SystemClock(), label,
                hub.folder / f"{label}.json", name=f"agent-{label}", shared=True,
            )  # fmt: skip
        self.agent = AgentSite(hub.folder.parent / f"agent-{label}", label, allow)
        office_key = self._key(hub.folder, "office.pem")
        agent_key = self._key(self.agent.folder, "keys/gate.pem")
        own = f'credential = "{label}.json"\nkey = "office.pem"'
        self._add(hub.folder, f"acquire.gate.{label}", own, ASK, GOT, agent_key, 0.002, more)
        own = f'environment = "{label}"'
        self._add(self.agent.folder, "agent.gate", own, GOT, ASK, office_key, 0.02, more)
        words = ("acquire", "office", "--environment", label)
        self.office = Process(hub.folder, words, f"office-{label}.log")

    def _key(self, site: Path, name: str) -> str:
        key = SigningKey.create()
        key.save(site / name)
        return str(key.public)

    def _add(
        self, site: Path, table: str, own: str, out: str, into: str, trust: str, cut_mb: float, more: str
    ) -> None:
        text = _TABLE.format(
            table=table, own=own, out=self.roads[out][0], into=self.roads[into][1], trust=trust, cut_mb=cut_mb,
            more=more,
        )  # fmt: skip
        with (site / "isthmus.toml").open("a") as file:
            file.write(text)

    def site(self, road: str, *, sends: bool) -> Path:
        """Return the site at one end of a road."""
        return self.hub.folder if (road == ASK) == sends else self.agent.folder

    def status(self, road: str) -> InboundStatus:
        """Return where a road stands at its receiving end."""
        site = gate_site(read_acquire_config(self.site(road, sends=False) / "isthmus.toml"), self.label)
        with opened(site) as side:
            return side.inbound.status()

    def quiet(self) -> bool:
        """Tell whether nothing is on its way: all has come, and each side knows it."""
        config = {road: read_acquire_config(self.site(road, sends=True) / "isthmus.toml") for road in self.roads}
        ends = {road: gate_site(config[road], self.label) for road in self.roads}
        for road, other in ((ASK, GOT), (GOT, ASK)):
            with Store(ends[road].state) as here, Store(ends[other].state) as there:
                source, target = Outgoing(here, ends[road].sends), Incoming(there, ends[other].receives)
                position = source.position()
                if source.counts()["records"] or (position.seq and target.position(source.stream) != position):
                    return False
        return True

    def alarms(self, road: str) -> Counter[str]:
        """Count the alarms at the receiving end of a road, by kind."""
        return Counter(alarm.kind.name for alarm in self.status(road).alarms)

    def ask_again(self, road: str) -> str:
        """Be the operators: write the line at the receiving end and give it to the sending one."""
        line = isthmus(self.site(road, sends=False), "acquire", "gate", "request").stdout.strip()
        if line:
            isthmus(self.site(road, sends=True), "acquire", "gate", "resend", line)
        return line


Way = Callable[[str, str, int], int]
Hurt = Callable[[str, str, bytes], bytes]


def _once(road: str, name: str, before: int) -> int:
    return 1


def _whole(road: str, name: str, content: bytes) -> bytes:
    return content


class Gatekeeper:
    """Copies what is put before the gate behind it, file by file; takes nothing away.

    Within `behaving` it is told what to do: `way` gets the road, the name and how often a file of that name came
    before, and returns how often to copy it; `hurt` may change the content; `late` files wait for a while and go
    in an order of their own.
    """

    def __init__(self, roads: Mapping[str, tuple[Path, Path]]) -> None:
        self._roads = roads
        self._way, self._hurt, self._late = _once, _whole, False
        self._dice = random.Random(7)
        self._known: set[tuple[str, str, int]] = set()
        self._before: Counter[tuple[str, str]] = Counter()
        self._waiting: list[tuple[str, str, bytes]] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.copied: list[tuple[str, str]] = []
        self.lost: list[tuple[str, str]] = []

    @contextmanager
    def at_work(self) -> Iterator[None]:
        self._thread.start()
        try:
            yield
        finally:
            self._stop.set()
            self._thread.join()

    @contextmanager
    def behaving(self, way: Way = _once, hurt: Hurt = _whole, *, late: bool = False) -> Iterator[None]:
        self.copied, self.lost = [], []
        self._way, self._hurt, self._late = way, hurt, late
        try:
            yield
        finally:
            self._way, self._hurt, self._late = _once, _whole, False

    def _run(self) -> None:
        while not self._stop.wait(0.03):
            for road, (before, _) in self._roads.items():
                for file in sorted(before.iterdir()):
                    self._look(road, file)
            self._go()

    def _look(self, road: str, file: Path) -> None:
        try:
            mark = (road, file.name, file.stat().st_mtime_ns)
            if file.name.startswith(".") or mark in self._known:
                return
            content = file.read_bytes()
        except FileNotFoundError:
            return
        self._known.add(mark)
        times = self._way(road, file.name, self._before[road, file.name])
        self._before[road, file.name] += 1
        if not times:
            self.lost.append((road, file.name))
        self._waiting += [(road, file.name, self._hurt(road, file.name, content))] * times

    def _go(self) -> None:
        self._dice.shuffle(self._waiting) if self._late else None
        count = self._dice.randint(0, 2) if self._late else len(self._waiting)
        going, self._waiting = self._waiting[:count], self._waiting[count:]
        for road, name, content in going:
            part = self._roads[road][1] / f".{name}"
            part.write_bytes(content)
            shutil.move(part, self._roads[road][1] / name)
            self.copied.append((road, name))
