"""Environments of an interface server: what an operator carries to one, and what stays here to check it by."""

from __future__ import annotations

import os
from pathlib import Path

from isthmus.acquire.agent.credential import FORMAT, Credential
from isthmus.acquire.delivery.signing import MOST_KEYS, PrivateKey, SharedSecret
from isthmus.acquire.ledger_port import Ledger
from isthmus.acquire.request import is_environment
from isthmus.acquire.server import keys
from isthmus.app.acquiring.config import AcquireConfig
from isthmus.core.errors import InputError
from isthmus.core.ports import Clock
from isthmus.state.files import replacing

FOLDER = "environments"


def trusted(config: AcquireConfig) -> Path:
    """Return the folder with one file per environment: what checks its signatures."""
    return config.state_folder / FOLDER


def public_url(config: AcquireConfig) -> str:
    """Return the address by which agents reach the server: the TOML's, or where it listens."""
    part = config.server
    if part.server.public_url:
        return part.server.public_url.rstrip("/")
    if not part.port:
        raise InputError("nobody knows the server's address beforehand: port is 0", "set public_url or port")
    host = f"[{part.host}]" if ":" in part.host else part.host
    return f"{'https' if part.tls_certificate else 'http'}://{host}:{part.port}"


def add_environment(
    config: AcquireConfig, ledger: Ledger, clock: Clock, environment: str, out: Path, *, name: str, shared: bool
) -> None:
    """Make an agent's credential at `out` (mode 0600) and let the server believe it.

    `name` is the API key's; it has to be new. With `shared` deliveries are signed with a secret that both sides
    hold, else with a private key that only the credential holds. A second credential of an environment is
    believed beside the first, for a rotation; a third is refused. Raises InputError.
    """
    if not is_environment(environment):
        raise InputError(f"{environment!r} is no label of an environment", "use lower-case letters, digits and -")
    file = trusted(config) / environment
    known = file.read_text().split() if file.exists() else []
    if len(known) >= MOST_KEYS:
        raise InputError(
            f"{environment} has {MOST_KEYS} credentials already",
            f"retire the oldest: isthmus acquire environment retire {environment}",
        )
    private = SharedSecret.create() if shared else PrivateKey.create()
    text, key = keys.make(name, keys.AGENT, environment, clock.now())
    authority = config.place(config.server.tls_certificate).read_text() if config.server.tls_certificate else ""
    credential = Credential(FORMAT, public_url(config), environment, text, private.text(), ca=authority)
    credential.save(out)
    try:
        ledger.put_key(key)
        _write(file, [*known, private.text() if isinstance(private, SharedSecret) else private.public.text()])
    except BaseException:
        out.unlink(missing_ok=True)
        raise


def retire(config: AcquireConfig, environment: str, *, whole: bool) -> int:
    """Believe an environment's oldest credential no longer, or none of them; return how many are left."""
    file = trusted(config) / environment
    known = file.read_text().split() if is_environment(environment) and file.exists() else []
    if not known:
        raise InputError(f"{environment!r} has no credential", "see isthmus acquire environment list")
    left = [] if whole else known[1:]
    if left:
        _write(file, left)
    else:
        file.unlink()
    return len(left)


def environments(config: AcquireConfig) -> list[tuple[str, int]]:
    """List the environments that the server believes, each with how many credentials it has."""
    folder = trusted(config)
    if not folder.is_dir():
        return []
    return sorted(
        (file.name, len(file.read_text().split())) for file in folder.iterdir() if is_environment(file.name)
    )


def _write(file: Path, lines: list[str]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with replacing(file) as out:
        os.fchmod(out.fileno(), 0o600)
        out.write("".join(f"{line}\n" for line in lines).encode())
