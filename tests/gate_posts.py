"""Both sides of an environment's gate over real folders, with a gatekeeper between them that a test steers."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from blake3 import blake3

from agent_doubles import content_of
from isthmus.acquire.failure import Failure, Kind
from isthmus.acquire.gate.office import Office
from isthmus.acquire.gate.outpost import GateDesk, Outpost
from isthmus.acquire.gate.settings import GateSettings, result_stream, task_stream
from isthmus.acquire.ports import Desk, Got, Parcel, Task
from isthmus.core.ports import Source, Target
from isthmus.state.store import Store
from isthmus.transfer.gate import Gate, Step, no_step
from isthmus.transfer.inbound import Inbound, InboundSettings
from isthmus.transfer.limits import STANDARD
from isthmus.transfer.outbound import Outbound, OutboundSettings
from isthmus.transfer.signing import SigningKey
from transfer_doubles import HandClock

NAMES = ("ask-in", "ask-out", "got-in", "got-out")
SENDS = OutboundSettings(cut_s=0.0, carousel_s=0.0, heartbeat_s=0.0, cut_bytes=50_000)
RECEIVES = InboundSettings(gap_alarm_s=60.0, settle_s=0.0, silent_s=0.0)


def key_of(folder: Path, side: str) -> SigningKey:
    path = folder / f"{side}.pem"
    if not path.exists():
        SigningKey.create().save(path)
    return SigningKey.load(path)


class Side:
    """What both sides have: a state file, an outbox, a staging folder, and their ends of the gate."""

    def __init__(self, folder: Path, side: str, sends: OutboundSettings, step: Step) -> None:
        self.folder, self.side, self.sends, self.step_hook = folder, side, sends, step
        for name in NAMES:
            (folder / name).mkdir(parents=True, exist_ok=True)
        self.clock = HandClock()
        self.store = Store(folder / f"{side}.db")

    def wire(self, source: Source, target: Target, out: str, into: str, stream: str, other: str) -> None:
        folder, side = self.folder, self.side
        key, allowed = key_of(folder, side), {stream: frozenset((key_of(folder, other).public,))}
        self.outbound = Outbound(
            self.store, folder / f"{side}-outbox", source, Gate(folder / out, self.step_hook), key, side,
            self.clock, self.sends, self.step_hook,
        )  # fmt: skip
        self.inbound = Inbound(
            self.store, folder / f"{side}-staging", target, Gate(folder / into, self.step_hook), allowed, STANDARD,
            self.clock, RECEIVES, step=self.step_hook,
        )  # fmt: skip


class OfficeSide(Side):
    def __init__(
        self, folder: Path, desk: Desk, step: Step = no_step, settings: GateSettings | None = None,
        sends: OutboundSettings = SENDS,
    ) -> None:  # fmt: skip
        super().__init__(folder, "office", sends, step)
        settings = settings or GateSettings()
        self.office = Office(self.store, "north", desk, folder / "large", settings, step=step)
        self.wire(self.office.tasks, self.office.results, "ask-in", "got-out", result_stream("north"), "outpost")

    def round(self) -> None:
        self.clock.forward(1)
        self.office.round(self.inbound.step, self.outbound.step)


class OutpostSide(Side):
    def __init__(
        self, folder: Path, step: Step = no_step, settings: GateSettings | None = None,
        sends: OutboundSettings = SENDS,
    ) -> None:  # fmt: skip
        super().__init__(folder, "outpost", sends, step)
        settings = settings or GateSettings()
        self.outpost = Outpost(self.store, "north", settings)
        self.desk = GateDesk(folder / "outpost.db", "north", "gate-1", settings)
        self.wire(self.outpost.results, self.outpost.tasks, "got-in", "ask-out", task_stream("north"), "office")

    def round(self) -> None:
        self.clock.forward(1)
        self.outpost.round(self.inbound.step, self.outbound.step)

    def work(self, most: int = 64, size: Callable[[int], int] = lambda request: 2000) -> list[str]:
        """Do as an agent does: claim, fetch, deliver."""
        claimed = self.desk.claim(most, 0)
        return [
            verdict
            for task in claimed.tasks
            for verdict in self.desk.deliver(claimed.callback, [made(task, size(task.request))])
        ]


def made(task: Task, size: int) -> Parcel:
    if task.request % 10 == 7:
        return Parcel(task, Failure(Kind.GONE, "404"))
    content = content_of(task.address, size)
    return Parcel(task, Got(content, size, blake3(content).hexdigest()))


def carry(folder: Path, keep: Callable[[str], bool] = lambda name: True) -> None:
    """Carry what lies inside to the other end, as far as the gatekeeper keeps it."""
    for inside, outside in (("ask-in", "ask-out"), ("got-in", "got-out")):
        for file in sorted((folder / inside).iterdir()):
            if not file.name.startswith(".") and keep(file.name):
                shutil.copyfile(file, folder / outside / file.name)


def there(folder: Path, office: OfficeSide, outpost: OutpostSide) -> None:
    """Let the requests that are open get to the outpost."""
    office.round()
    carry(folder)
    outpost.round()


def there_and_back(folder: Path, office: OfficeSide, outpost: OutpostSide) -> None:
    """Let them get there, be worked on, and their results lie before the office."""
    there(folder, office, outpost)
    outpost.work()
    outpost.round()
    carry(folder)
