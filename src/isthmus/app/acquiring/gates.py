"""The gates that a site's TOML speaks of: which side is here, where its state lies, its keys and its streams.

The state of the server's side lies below the site's state, that of the agent's below the agent's folder.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from isthmus.acquire.gate.settings import result_stream, task_stream
from isthmus.app.acquiring.config import AcquireConfig
from isthmus.app.acquiring.gatepart import GatePart
from isthmus.core.errors import InputError, UnknownName
from isthmus.transfer.signing import PublicKey, SigningKey


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
