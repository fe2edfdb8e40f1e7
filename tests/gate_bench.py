"""Both sides of a gate in one process, for its tests: a sender, a receiver, and whatever lies between."""

from __future__ import annotations

from pathlib import Path

from isthmus.state.store import Store
from isthmus.transfer.inbound import Inbound, InboundSettings
from isthmus.transfer.limits import Limits
from isthmus.transfer.memory import MemoryCarrier
from isthmus.transfer.outbound import Outbound, OutboundSettings
from isthmus.transfer.signing import SigningKey
from isthmus.transfer.standing import Event
from transfer_doubles import DictTarget, HandClock, ListSource

SENDER = SigningKey.create()
LIMITS = Limits(most_file_bytes=1 << 20, most_member_bytes=1 << 20)


def sending(**settings: object) -> OutboundSettings:
    """Settings that cut everything at once and do nothing else by themselves."""
    return OutboundSettings(**{"cut_s": 0.0, "carousel_s": 0.0, "heartbeat_s": 0.0, **settings})  # type: ignore[arg-type]


def receiving(**settings: object) -> InboundSettings:
    """Settings that wait for nothing and are not alarmed by silence."""
    return InboundSettings(**{"gap_alarm_s": 60.0, "settle_s": 0.0, "silent_s": 0.0, **settings})  # type: ignore[arg-type]


class Bench:
    """A sender and a receiver; `inside` and `outside` are the ends of the gate, and nothing carries by itself."""

    def __init__(
        self,
        folder: Path,
        sends: OutboundSettings | None = None,
        receives: InboundSettings | None = None,
        key: SigningKey = SENDER,
        source: ListSource | None = None,
    ) -> None:
        self.folder, self.clock = folder, HandClock()
        self.inside, self.outside = MemoryCarrier(), MemoryCarrier()
        self.source, self.target = source or ListSource(), DictTarget()
        self.outbox = folder / "outbox"
        self.sends, self.receives = sends or sending(), receives or receiving()
        self.stores = Store(Path(":memory:")), Store(Path(":memory:"))
        self.sender = self.new_sender(key)
        self.receiver = self.new_receiver()

    def new_sender(self, key: SigningKey = SENDER) -> Outbound:
        return Outbound(
            self.stores[0], self.outbox, self.source, self.inside, key, "inner", self.clock, self.sends
        )

    def new_receiver(self) -> Inbound:
        allowed = {"faces": frozenset((SENDER.public,))}
        return Inbound(
            self.stores[1],
            self.folder / "staging",
            self.target,
            self.outside,
            allowed,
            LIMITS,
            self.clock,
            self.receives,
        )

    def send(self, *changes: tuple[str, str | None]) -> list[str]:
        """Make changes and do a round of the sender; return the names of the files that are new in the gate."""
        before = set(self.inside.files)
        for key, text in changes:
            self.source.change(key, text)
        self.sender.step()
        return sorted(set(self.inside.files) - before)

    def carry(self, *names: str) -> None:
        """Carry files across (all of them where none is named) as a gatekeeper that works well does."""
        for name in names or self.inside.names():
            self.outside.hold(name, self.inside.files[name])

    def receive(self) -> list[Event]:
        return self.receiver.step()

    def level(self) -> bool:
        """Whether both sides hold the same, and say so."""
        return self.target.standing == self.source.position() and self.target.records == self.source.records

    def true_past(self) -> bool:
        """Whether the receiver stands at a state that the sender had, with the content of that time."""
        standing = self.target.standing
        if standing is None:
            return not self.target.records
        return self.source.history.get(standing.order) == (standing.digest, self.target.records)

    def alarms(self) -> list[str]:
        return sorted(alarm.kind.name for alarm in self.receiver.status().alarms)
