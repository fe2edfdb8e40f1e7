"""The tables of gates between an interface server and an environment: folders, keys, and how bundles are cut."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from isthmus.acquire.gate.settings import GateSettings
from isthmus.core.errors import InputError
from isthmus.core.settings import setting
from isthmus.transfer.signing import PublicKey


@dataclass(frozen=True, slots=True, kw_only=True)
class GatePart:
    """What either side of an environment's gate says."""

    out_folder: str = setting("where the gatekeeper takes files from", path=True)
    in_folder: str = setting("where the gatekeeper puts files", path=True)
    key: str = setting("this side's signing key, a PEM file", default="keys/gate.pem", path=True)
    trust: tuple[str, ...] = setting("public keys of the other side: ed25519:…", default=())
    format: Literal["tar", "plain"] = setting("plain where the gatekeeper lets only .bson pass", default="tar")
    cut_mb: float = setting("size at which a bundle is cut", default=16.0, minimum=0.001, unit="MB")
    cut_s: float = setting("time after which what is there is cut", default=2.0, minimum=0, unit="s")
    carousel_files: int = setting("latest files that are sent again and again", default=8, minimum=0)
    carousel_s: float = setting("how often they are sent again", default=600.0, minimum=1, unit="s")
    heartbeat_s: float = setting("how often the latest position is told", default=60.0, minimum=1, unit="s")
    keep_files: int = setting("bundles kept to be sent again", default=256, minimum=1)
    keep_days: float = setting("how long at most", default=7.0, minimum=0.01)
    gap_alarm_s: float = setting(
        "how long a file may be missing before an alarm", default=600.0, minimum=0, unit="s"
    )
    settle_s: float = setting("how long a part of a file may stay a part", default=120.0, minimum=0, unit="s")
    silent_s: float = setting("how long nothing may come before an alarm", default=900.0, minimum=1, unit="s")
    most_mb: float = setting("largest bundle that is taken", default=4096.0, minimum=0.1, unit="MB")
    consume: bool = setting("remove files from in_folder once they are dealt with", default=True)
    poll_s: float = setting("how often the folders are looked at", default=1.0, minimum=0.05, unit="s")
    bounds: GateSettings = setting("what is kept, and for how long", factory=GateSettings)

    def __post_init__(self) -> None:
        if self.out_folder == self.in_folder:
            raise ValueError("out_folder and in_folder are the same")


@dataclass(frozen=True, slots=True, kw_only=True)
class OfficePart(GatePart):
    """`[acquire.gate.NAME]`: the environment NAME is reached through gate folders; the server's side of them."""

    credential: str = setting("the environment's credential, as an agent there would have it", path=True)
    name: str = setting("as which the office claims; gate-NAME where empty", default="")


@dataclass(frozen=True, slots=True, kw_only=True)
class OutpostPart(GatePart):
    """`[agent.gate]`: the agent works through gate folders and connects to no server."""

    environment: str = setting("the label of the environment that this agent works for")


def gate_mistakes(part: GatePart) -> Iterator[tuple[str, str]]:
    """Tell what of a gate's table cannot be right: the key, and what is wrong with it."""
    for text in part.trust:
        try:
            PublicKey.of_text(text)
        except InputError as error:
            yield "trust", f"trust has {_cut(text)}: {error}"


def _cut(text: str) -> str:
    return repr(text) if len(text) <= 40 else f"{text[:40]!r}…"
