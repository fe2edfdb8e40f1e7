"""Either side of an environment's gate, wired from the site's TOML: what is sent, what is received, and its state.

The server's side lies below the site's state, the agent's below the agent's folder.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from isthmus.acquire.agent.log import Say
from isthmus.acquire.gate.incoming import Incoming
from isthmus.acquire.gate.outgoing import Outgoing
from isthmus.acquire.gate.settings import result_stream, task_stream
from isthmus.app.acquiring.config import AcquireConfig
from isthmus.app.acquiring.gatepart import GatePart
from isthmus.app.clock import SystemClock
from isthmus.core.errors import InputError, UnknownName
from isthmus.core.ports import Clock
from isthmus.state.store import Store
from isthmus.transfer.alarm import Alarm
from isthmus.transfer.gate import Gate
from isthmus.transfer.inbound import Inbound
from isthmus.transfer.outbound import Outbound
from isthmus.transfer.signing import PublicKey, SigningKey

_QUIET = frozenset({"growing", "duplicate"})
_LOUD = frozenset({"alarm", "quarantined"})


@dataclass(frozen=True, slots=True)
class GateSite:
    """One side of the gate of `environment`; `folder` is where its state lies. `serving`: it is the server's."""

    environment: str
    part: GatePart
    folder: Path
    serving: bool
    site: str
    key: Path
    where: str

    @property
    def state(self) -> Path:
        """The SQLite file of both streams."""
        return self.folder / "gate.sqlite"

    @property
    def sends(self) -> str:
        """The stream that this side sends."""
        return task_stream(self.environment) if self.serving else result_stream(self.environment)

    @property
    def receives(self) -> str:
        """The stream that this side receives."""
        return result_stream(self.environment) if self.serving else task_stream(self.environment)

    def signing_key(self) -> SigningKey:
        """Return what this side signs with. Raises InputError where there is none, Refused."""
        if not self.key.exists():
            raise InputError(f"there is no signing key in {self.key}", "make one: isthmus acquire gate keys")
        return SigningKey.load(self.key)

    def trusted(self) -> frozenset[PublicKey]:
        """Return whose bundles are taken. Raises InputError where nobody is trusted."""
        if not self.part.trust:
            raise InputError(
                f"{self.where} trusts nobody",
                'add the other side\'s key, as isthmus acquire gate keys shows it there: trust = ["ed25519:…"]',
            )
        return frozenset(PublicKey.of_text(text) for text in self.part.trust)


class GateSide:
    """The two carriers of one side. Belongs to the thread of its store. One process at a time does rounds."""

    def __init__(
        self, site: GateSite, store: Store, source: Outgoing, target: Incoming, clock: Clock | None = None
    ) -> None:
        """Wire `source` and `target` to the folders. Raises InputError where keys are missing."""
        clock = clock or SystemClock()
        self.outbound = Outbound(
            store, site.folder / "outbox", source, Gate(Path(site.part.out_folder)), site.signing_key(), site.site,
            clock, site.part.sends(),
        )  # fmt: skip
        self.inbound = Inbound(
            store, site.folder / "staging", target, Gate(Path(site.part.in_folder)),
            {site.receives: site.trusted()}, site.part.limits(), clock, site.part.receives(),
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


def gate_sites(config: AcquireConfig) -> dict[str, GateSite]:
    """List the sides of gates that a site's TOML speaks of, by environment."""
    found = {}
    for label, part in (config.acquire.gate if config.acquire else {}).items():
        where = f"{config.path}: [acquire.gate.{label}]"
        folder = config.state_folder / "gates" / label
        found[label] = GateSite(label, part, folder, True, config.site.name, config.place(part.key), where)
    agent = config.agent
    if agent is not None and agent.gate is not None:
        where, folder = f"{config.path}: [agent.gate]", config.place(agent.folder) / "gate"
        key = config.place(agent.gate.key)
        label = agent.gate.environment
        found[label] = GateSite(label, agent.gate, folder, False, config.site.name, key, where)
    return found


def gate_site(config: AcquireConfig, environment: str = "") -> GateSite:
    """Return the side of the gate of an environment, or of the only one there is.

    Raises UnknownName for an environment without a gate here, InputError where none or several could be meant.
    """
    found = gate_sites(config)
    if environment and found:
        if environment not in found:
            raise UnknownName.among("gate", environment, list(found))
        return found[environment]
    if len(found) == 1:
        return next(iter(found.values()))
    if not found:
        raise InputError(
            f"{config.path} speaks of no gate",
            "add [acquire.gate.LABEL] at the server or [agent.gate] at the agent; see isthmus keys acquire.gate",
        )
    raise InputError(f"{config.path} speaks of {len(found)} gates", f"say --environment: {', '.join(found)}")


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
