"""Debian's coturn on the loopback, in a folder of its own: a STUN and TURN server for tests."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from isthmus.transfer.ice.settings import IceSettings

USER, SECRET = "device", "loopback-secret-1d9c"


@dataclass(frozen=True)
class Turn:
    """Where a running server is, and the file that holds its user's credential."""

    port: int
    credential_file: Path

    def settings(self, base: IceSettings, port: int = 0, relay_only: bool = True) -> IceSettings:
        """Return settings that use the server, perhaps by another port that leads to it."""
        return replace(
            base,
            turn=f"turn:127.0.0.1:{port or self.port}?transport=udp",
            turn_user=USER,
            turn_credential_file=str(self.credential_file),
            relay_only=relay_only,
        )


@contextmanager
def turn_server(folder: Path) -> Iterator[Turn]:
    """Run the server; skips the test, and says so, where coturn is not installed."""
    program = shutil.which("turnserver")
    if program is None:
        pytest.skip("coturn is not installed (Debian: apt-get install coturn): no relay can be tested")
    credential = folder / "turn-credential"
    credential.write_text(SECRET + "\n")
    credential.chmod(0o600)
    port = _free_port()
    options = f"""-n --no-cli --no-tls --no-dtls --relay-threads 1 --realm isthmus.test --lt-cred-mech
        --listening-ip 127.0.0.1 --listening-port {port} --relay-ip 127.0.0.1 --allow-loopback-peers
        --user {USER}:{SECRET} --userdb {folder / "turndb"} --pidfile {folder / "pid"} --log-file stdout"""
    with (folder / "turnserver.log").open("wb") as log:
        process = subprocess.Popen([program, *options.split()], cwd=folder, stdout=log, stderr=log)
        try:
            _answering(port, process, folder / "turnserver.log")
            yield Turn(port, credential)
        finally:
            process.terminate()
            process.wait(10)


def _free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answering(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    """Ask for an address (a STUN binding request, RFC 8489) until the server answers."""
    request = b"\x00\x01\x00\x00\x21\x12\xa4\x42" + b"isthmustests"
    deadline = time.monotonic() + 20
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.settimeout(0.1)
        probe.connect(("127.0.0.1", port))
        while time.monotonic() < deadline and process.poll() is None:
            with suppress(OSError):
                probe.send(request)
                if probe.recv(2048)[8:20] == b"isthmustests":
                    return
    pytest.fail(f"coturn did not start:\n{log.read_text(errors='replace')[-2000:]}")
