"""One side of an environment's gate, wired: what it sends and what it receives, with their alarms."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from isthmus.acquire.gate.incoming import Incoming
from isthmus.acquire.gate.outgoing import Outgoing
from isthmus.acquire.log import Say
from isthmus.app.acquiring.gatepart import GatePart
from isthmus.app.acquiring.gates import GateSite
from isthmus.app.clock import SystemClock
from isthmus.core.ports import Clock
from isthmus.state.store import Store
from isthmus.transfer.alarm import Alarm
from isthmus.transfer.gate import Gate
from isthmus.transfer.inbound import Inbound, InboundSettings
from isthmus.transfer.limits import Limits
from isthmus.transfer.outbound import Outbound, OutboundSettings

_QUIET = frozenset({"growing", "duplicate"})
_LOUD = frozenset({"alarm", "quarantined"})
_MB = 1_000_000


class GateSide:
    """The two carriers of one side. Belongs to the thread of its store. One process at a time does rounds."""

    def __init__(
        self, site: GateSite, store: Store, source: Outgoing, target: Incoming, clock: Clock | None = None
    ) -> None:
        """Wire `source` and `target` to the folders. Raises InputError where keys are missing."""
        clock = clock or SystemClock()
        self.outbound = Outbound(
            store, site.folder / "outbox", source, Gate(Path(site.part.out_folder)), site.signing_key(), site.site,
            clock, _sends(site.part),
        )  # fmt: skip
        self.inbound = Inbound(
            store, site.folder / "staging", target, Gate(Path(site.part.in_folder)),
            {site.receives: site.trusted()}, _limits(site.part), clock, _receives(site.part),
        )  # fmt: skip

    def receive(self, say: Say) -> None:
        """Do a round of receiving and say what it did. Raises Busy."""
        for event in self.inbound.step():
            level = "error" if event.kind in _LOUD else "debug" if event.kind in _QUIET else "info"
            say(f"gate {event.kind}", level=level, about=event.about, detail=event.detail)

    def send(self, say: Say) -> None:
        """Do a round of sending and say what it did. Raises Busy, InputError."""
        for text in self.outbound.step():
            word, _, rest = text.partition(" ")
            say(f"gate {word}", level="error" if word == "alarm" else "info", about=rest)

    def alarms(self) -> tuple[Alarm, ...]:
        """List the alarms of both directions."""
        return (*self.outbound.status().alarms, *self.inbound.status().alarms)


@contextlib.contextmanager
def opened(site: GateSite) -> Iterator[GateSide]:
    """Lend a side for looking at it and for sending again, beside the process that does its rounds."""
    with Store(site.state) as store:
        yield GateSide(site, store, Outgoing(store, site.sends), Incoming(store, site.receives))


def begin_epoch(site: GateSite, above: int) -> tuple[str, list[str]]:
    """Begin another epoch of what this side sends, and send the snapshot that leads into it.

    Returns where it begins and what was sent. Raises Busy where the disk's state is held for too long.
    """
    with Store(site.state) as store:
        source = Outgoing(store, site.sends)
        side = GateSide(site, store, source, Incoming(store, site.receives))
        begun = source.begin_epoch(above)
        return str(begun), side.outbound.snapshot()


def _sends(part: GatePart) -> OutboundSettings:
    return OutboundSettings(
        format=part.format,
        cut_bytes=max(1, int(part.cut_mb * _MB)),
        cut_s=part.cut_s,
        carousel_files=min(part.carousel_files, part.keep_files),
        carousel_s=part.carousel_s,
        heartbeat_s=part.heartbeat_s,
        keep_files=part.keep_files,
        keep_s=part.keep_days * 86_400,
    )


def _receives(part: GatePart) -> InboundSettings:
    return InboundSettings(
        gap_alarm_s=part.gap_alarm_s, settle_s=part.settle_s, silent_s=part.silent_s, consume=part.consume
    )


def _limits(part: GatePart) -> Limits:
    """Return how large a bundle of the other side may be, packed and unpacked: it may be less trusted."""
    return Limits(most_file_bytes=int(part.most_mb * _MB), most_member_bytes=int(part.most_mb * _MB))
