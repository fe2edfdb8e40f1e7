"""A standby for tests: a root, its landing, and a gate folder that a real receiver looks into. Light to import."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from isthmus.recovery.landing import Landing, LandingSettings
from isthmus.state.store import Store
from isthmus.transfer.gate import Gate, no_step
from isthmus.transfer.inbound import Inbound, InboundSettings
from isthmus.transfer.limits import Limits
from isthmus.transfer.signing import PublicKey
from isthmus.transfer.standing import Event
from isthmus.warehouse import fence
from isthmus.warehouse.fence import Fence
from transfer_doubles import HandClock

STREAM = "recovery"


class Standby:
    """A site that follows another."""

    def __init__(
        self,
        folder: Path,
        signer: PublicKey,
        step: Callable[[str], None] = no_step,
        grace_s: float = 3600.0,
        desync: str = "none",
        least_free_bytes: int = 0,
        apart: Path | None = None,
    ) -> None:
        self.folder, self.root, self.gate = folder, folder / "tables", folder / "gate"
        self.signer, self.clock = signer, HandClock()
        for one in (self.root, self.gate):
            one.mkdir(parents=True, exist_ok=True)
        if fence.read(self.root) == Fence():
            fence.write(self.root, Fence("standby"))
        self.store = Store(folder / "standby.db")
        settings = LandingSettings(
            desync=desync,  # type: ignore[arg-type]
            grace_s=grace_s,
            least_free_bytes=least_free_bytes,
        )
        self.landing = Landing(
            self.store, str(self.root), apart or folder / "landing", self.clock, "south", step, settings
        )
        self.inbound = Inbound(
            self.store,
            folder / "staging",
            self.landing,
            Gate(self.gate),
            {STREAM: frozenset((signer,))},
            Limits(),
            self.clock,
            InboundSettings(gap_alarm_s=60.0, settle_s=0.0, silent_s=0.0),
            step=step,
        )

    @property
    def fence(self) -> Fence:
        return fence.read(self.root)

    def take(self) -> list[Event]:
        """Take in what lies in the gate; return what was told, alarms included."""
        self.clock.forward(1)
        return self.inbound.step()

    def alarms(self) -> list[str]:
        return [event.detail for event in self.take() if event.kind == "alarm"]

    def reasons(self) -> str:
        """Say why bundles were set aside."""
        return "\n".join(one.why for one in self.inbound.status().quarantined)
