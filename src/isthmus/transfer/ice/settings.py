"""How two ends find each other: STUN and TURN servers, which engine, how long to wait."""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from isthmus.core.errors import InputError
from isthmus.core.settings import setting

EngineName = Literal["auto", "aiortc", "wrtc"]


class Credential:
    """A secret that never shows itself: not in `repr`, not in a message, not in a log."""

    __slots__ = ("_secret",)

    def __init__(self, secret: str) -> None:
        self._secret = secret

    def reveal(self) -> str:
        """Return the secret, for the one call that needs it."""
        return self._secret

    def __repr__(self) -> str:
        return "Credential(…)"


@dataclass(frozen=True, slots=True)
class IceSettings:
    """What a site's TOML says of ICE. The TURN credential itself comes from a file or the environment only."""

    stun: str = setting("a STUN server, such as stun:stun.example.org:3478; none where empty", default="")
    turn: str = setting("a TURN server, such as turn:turn.example.org:3478?transport=udp", default="")
    turn_user: str = setting("the user at the TURN server", default="")
    turn_credential_file: str = setting("a file that holds the TURN credential alone", default="", path=True)
    turn_credential_env: str = setting("the environment variable that holds the TURN credential", default="")
    relay_only: bool = setting("connect through the TURN server only, showing no address", default=False)
    engine: EngineName = setting("auto takes wrtc where it is installed, else aiortc", default="auto")
    loopback: bool = setting("offer the loopback's addresses too, for two ends on one machine", default=False)
    authorities: str = setting(
        "a PEM file of the authorities that vouch for the signalling server; the system's where empty",
        default="",
        path=True,
    )
    gather_s: float = setting("the longest wait for own addresses", default=5.0, minimum=0.1, unit="s")
    connect_s: float = setting("the longest wait until a channel is open", default=30.0, minimum=0.1, unit="s")
    silence_s: float = setting("an end so long unheard is taken for dead", default=30.0, minimum=0.2, unit="s")
    linger_s: float = setting(
        "the longest wait, at closing, in which nothing more of what was sent gets away",
        default=10.0,
        minimum=0.1,
        unit="s",
    )
    most_waiting_bytes: int = setting(
        "a channel whose received messages wait unread up to so many bytes is closed: its other end sends more "
        "than it was asked for",
        default=64 * 1024 * 1024,
        minimum=1024 * 1024,
        unit="bytes",
    )

    def __post_init__(self) -> None:
        if self.stun and not self.stun.startswith(("stun:", "stuns:")):
            raise ValueError("stun must begin with stun: or stuns:")
        if self.turn and not self.turn.startswith(("turn:", "turns:")):
            raise ValueError("turn must begin with turn: or turns:")
        if self.turn and not self.turn_user:
            raise ValueError("turn needs turn_user")
        if self.turn and bool(self.turn_credential_file) == bool(self.turn_credential_env):
            raise ValueError("turn needs one of turn_credential_file and turn_credential_env")
        if self.relay_only and not self.turn:
            raise ValueError("relay_only needs turn")

    def turn_credential(self) -> Credential | None:
        """Read the TURN credential; None where there is no TURN server.

        Raises InputError where the file cannot be read, others than its owner can read it, or there is nothing.
        """
        if not self.turn:
            return None
        if self.turn_credential_env:
            secret, where = os.environ.get(self.turn_credential_env, ""), f"${self.turn_credential_env}"
        else:
            secret, where = _secret_of(Path(self.turn_credential_file)), self.turn_credential_file
        if not secret:
            raise InputError(f"no TURN credential in {where}", "put the credential there, on one line")
        return Credential(secret)


def _secret_of(file: Path) -> str:
    try:
        if file.stat().st_mode & 0o077:
            raise InputError(f"{file} can be read by others", f"protect it: chmod 600 {file}")
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"the TURN credential cannot be read from {file}: {error}") from error


def is_loopback(url: str) -> bool:
    """Tell whether a URL names this very machine by a loopback address or `localhost`."""
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
