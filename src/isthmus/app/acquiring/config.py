"""The acquire tables of a site's TOML, as frozen dataclasses. Nothing of the loop or the galleries comes along."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isthmus.acquire.agent.settings import AgentSettings
from isthmus.acquire.fetch.settings import EnvironmentRules
from isthmus.acquire.filing.settings import FilingRules
from isthmus.acquire.request import is_environment
from isthmus.acquire.server.settings import ServerSettings
from isthmus.app.acquiring.gatepart import GatePart, OfficePart, OutpostPart, gate_mistakes
from isthmus.app.sitepart import SitePart, open_toml
from isthmus.core.errors import InputError
from isthmus.core.settings import Reader, setting

_LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True, slots=True)
class KeepPart:
    """`[acquire.keep]`: for how long images and what is known of requests are kept, and how images become rows."""

    days: float = setting("images are removed after so long; 0: never", default=0.0, minimum=0, unit="days")
    gigabytes: float = setting("the oldest go beyond so much; 0: no bound", default=0.0, minimum=0, unit="GB")
    requests_days: float = setting(
        "batches are forgotten so long after they ended; 0: never", default=0.0, minimum=0, unit="days"
    )
    every_s: float = setting("how often that is looked at", default=300.0, minimum=1, unit="s")
    rows_s: float = setting(
        "how often images become rows of acquire.images; 0: by `isthmus acquire rows` alone",
        default=0.0,
        minimum=0,
        unit="s",
    )

    def __post_init__(self) -> None:
        if self.requests_days and (self.gigabytes or not self.days or self.requests_days < self.days):
            raise ValueError(
                "requests_days would forget requests whose images are kept: set days, to no more, and no gigabytes"
            )


@dataclass(frozen=True, slots=True)
class AcquirePart:
    """`[acquire]`: the interface server."""

    host: str = setting("address to listen on", default="127.0.0.1")
    port: int = setting("port to listen on; 0: any free one", default=8480, minimum=0, maximum=65535)
    tls_certificate: str = setting("certificate chain, PEM", default="", path=True)
    tls_key: str = setting("private key of the certificate, PEM", default="", path=True)
    postgres_file: str = setting(
        "file with the connection string of the PostgreSQL that holds the ledger; embedded where empty",
        default="",
        path=True,
    )
    postgres_env: str = setting("environment variable that holds it instead", default="")
    postgres_schema: str = setting("the ledger's schema there", default="acquire")
    nats: str = setting("nats:// address that wakes servers which share a ledger; empty: they look", default="")
    server: ServerSettings = setting("how it serves", factory=ServerSettings)
    filing: FilingRules = setting("where images go", factory=lambda: FilingRules(root="images"))
    keep: KeepPart = setting("what is kept", factory=KeepPart)
    gate: Mapping[str, OfficePart] = setting(
        "environments that are reached through gate folders, by label", factory=dict
    )

    def __post_init__(self) -> None:
        if bool(self.tls_certificate) != bool(self.tls_key):
            raise ValueError("tls_certificate and tls_key go together")
        if self.host not in _LOOPBACK and not self.tls_certificate:
            raise ValueError(f"host {self.host!r} is beyond loopback: set tls_certificate and tls_key first")
        if self.postgres_file and self.postgres_env:
            raise ValueError("name either postgres_file or postgres_env")

    @property
    def shared(self) -> bool:
        """Whether the ledger is shared by several servers."""
        return bool(self.postgres_file or self.postgres_env)


@dataclass(frozen=True, slots=True)
class AgentPart(EnvironmentRules):
    """`[agent]`: what works inside a network environment."""

    credential: str = setting("the file that the server's operator made", default="agent.json", path=True)
    name: str = setting("the agent's name; the machine's where empty", default="")
    folder: str = setting("where results wait that cannot be delivered", default="agent", path=True)
    work: AgentSettings = setting("how it works", factory=AgentSettings)
    gate: OutpostPart | None = setting("gate folders in place of a credential and a server", default=None)


TABLES: dict[str, type] = {"acquire": AcquirePart, "agent": AgentPart}
"""By name of the table, the class that it is read into."""


@dataclass(frozen=True, slots=True)
class AcquireConfig:
    """What a site's TOML says about acquiring."""

    path: Path
    site: SitePart
    acquire: AcquirePart | None = None
    agent: AgentPart | None = None

    @property
    def state_folder(self) -> Path:
        """Where the ledger, the audit log and the environments' keys lie."""
        return self.path.resolve().parent / self.site.state / "acquire"

    def place(self, path: str) -> Path:
        """Return a path of the TOML: one that is relative starts from the TOML's folder."""
        return self.path.resolve().parent / path

    @property
    def server(self) -> AcquirePart:
        """`[acquire]`. Raises InputError where the TOML lacks it."""
        if self.acquire is None:
            raise InputError(f"{self.path} has no [acquire]", "add it; its keys: isthmus keys acquire")
        return self.acquire

    @property
    def environment(self) -> AgentPart:
        """`[agent]`. Raises InputError where the TOML lacks it."""
        if self.agent is None:
            raise InputError(f"{self.path} has no [agent]", "add it; its keys: isthmus keys agent")
        return self.agent


def read_acquire_config(path: Path) -> AcquireConfig:
    """Read and check the acquire tables of a site's TOML.

    Raises ConfigError with every mistake and its line, InputError where the file cannot be read.
    """
    reader = open_toml(path)
    parts: dict[str, Any] = {
        name: reader.read(cls, reader.root[name], (name,)) for name, cls in TABLES.items() if name in reader.root
    }
    _judge_gates(reader, parts.get("acquire"), parts.get("agent"))
    site = reader.read(SitePart, reader.root.get("site", {}), ("site",))
    reader.finish()
    assert site is not None
    return AcquireConfig(path, site, **parts)


def _judge_gates(reader: Reader, acquire: AcquirePart | None, agent: AgentPart | None) -> None:
    """Note what of the gates' tables cannot be right."""
    offices = (acquire.gate if acquire else None) or {}
    gates: list[tuple[tuple[str, ...], str, GatePart]] = [
        (("acquire", "gate", label), label, part) for label, part in offices.items()
    ]
    if agent is not None and agent.gate is not None:
        gates.append((("agent", "gate"), agent.gate.environment, agent.gate))
        if agent.gate.environment in offices:
            reader.mistake(
                ("agent", "gate"), f"both sides of the gate of {agent.gate.environment} are here: make two sites"
            )
    for path, label, part in gates:
        if not is_environment(label):
            reader.mistake(path, f"{label!r} is no label of an environment: use a-z, 0-9 and -, 40 at most")
        for key, what in gate_mistakes(part):
            reader.mistake((*path, key), what)
