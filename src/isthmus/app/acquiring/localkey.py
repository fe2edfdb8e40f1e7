"""The key by which the commands of a server's own site ask it: whoever may write its ledger needs no other.

It is made when it is first needed, as an operator's, and kept beside the ledger for its owner alone.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from isthmus.acquire.server import keys
from isthmus.app.acquiring.config import AcquireConfig
from isthmus.app.acquiring.ledgers import open_ledger
from isthmus.app.clock import SystemClock
from isthmus.app.secrets import secret_of
from isthmus.state.files import write_private
from isthmus.state.lock import held, patiently

FILE = "local.key"
NAME = "local"


def local_key(config: AcquireConfig) -> str:
    """Return the key's text; empty where the site has no interface server.

    Raises OSError where it can be neither read nor written, Busy, Corrupt.
    """
    if config.acquire is None:
        return ""
    file = config.state_folder / FILE
    return _kept(file) or patiently(lambda: _made(config, file), for_s=30.0)


def _kept(file: Path) -> str:
    return secret_of(file, None) if file.exists() else ""


def _made(config: AcquireConfig, file: Path) -> str:
    config.state_folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with held(file.with_name(f".{FILE}.lock"), "the making of the local key"):
        if known := _kept(file):
            return known  # another command was faster
        with contextlib.closing(open_ledger(config)) as ledger:
            known_keys = ledger.keys()
            taken = {one.name for one in known_keys}
            names = (NAME, *(f"{NAME}-{number}" for number in range(2, len(taken) + 3)))
            text, key = keys.make(
                next(name for name in names if name not in taken), keys.OPERATOR, "", SystemClock().now()
            )
            write_private(file, f"{text}\n".encode())
            try:
                ledger.put_key(key)
            except BaseException:
                file.unlink()
                raise
    return text
