"""What the gates of a site's environments need beside its TOML, and what a person should still do about them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from isthmus.acquire.agent import credential as credentials
from isthmus.app.acquiring.config import AcquireConfig
from isthmus.app.acquiring.gatepart import OfficePart
from isthmus.app.acquiring.gates import GateSite, gate_sites
from isthmus.core.errors import IsthmusError


def wrong_with_gates(config: AcquireConfig) -> Iterator[tuple[tuple[str, ...], str]]:
    """Tell what cannot be used, each with the key of the TOML that names it."""
    for site in gate_sites(config).values():
        table = _table(site)
        if site.key.exists():
            try:
                site.signing_key()
            except (IsthmusError, OSError) as error:
                yield (*table, "key"), str(error)
        for name, folder in _folders(site):
            if folder.exists() and (not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK)):
                yield (*table, name), f"{folder} is no folder that can be written"
        if isinstance(site.part, OfficePart):
            wrong = _wrong_credential(config.place(site.part.credential), site.environment)
            if wrong:
                yield (*table, "credential"), wrong


def left_at_gates(config: AcquireConfig) -> Iterator[str]:
    """Tell what is still to be done."""
    for site in gate_sites(config).values():
        which = f" --environment {site.environment}" if len(gate_sites(config)) > 1 else ""
        if not site.key.exists():
            yield f"{site.where.partition(': ')[2]} has no signing key yet: isthmus acquire gate{which} keys"
        if not site.part.trust:
            yield f"{site.where.partition(': ')[2]} trusts nobody yet: add the other side's public key to trust"
        for name, folder in _folders(site):
            if not folder.exists():
                yield f"{name} {folder} is not there: nothing crosses before it is"
        if isinstance(site.part, OfficePart) and not config.place(site.part.credential).exists():
            yield (
                f"{site.part.credential} is not there yet:"
                f" isthmus acquire environment add {site.environment} --out {site.part.credential}"
            )


def _table(site: GateSite) -> tuple[str, ...]:
    return ("acquire", "gate", site.environment) if site.serving else ("agent", "gate")


def _folders(site: GateSite) -> tuple[tuple[str, Path], ...]:
    return ("out_folder", Path(site.part.out_folder)), ("in_folder", Path(site.part.in_folder))


def _wrong_credential(file: Path, environment: str) -> str:
    if not file.exists():
        return ""
    try:
        found = credentials.load(file)
    except (IsthmusError, OSError) as error:
        return str(error)
    if found.environment != environment:
        return f"the credential in {file} is for {found.environment}, not {environment}"
    return ""
