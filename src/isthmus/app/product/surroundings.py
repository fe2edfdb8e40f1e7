"""What a site's TOML leans on beside itself: folders, secrets, addresses it listens at, peers it calls.

Gathered from the settings of each capability; one whose tables are wrong, or whose extra is missing, is left out:
that is told elsewhere.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from isthmus.app.sitepart import LOOP_TABLES
from isthmus.app.upconfig import UpConfig
from isthmus.core.errors import IsthmusError

_PORTS = {"https": 443, "http": 80, "wss": 443, "ws": 80, "nats": 4222, "s3": 443}


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder that the site writes. `made`: it is made when it is first needed."""

    path: Path
    what: str
    made: bool = True


@dataclass(frozen=True, slots=True)
class Secret:
    """A file that nobody else may read. `mend` makes it; `made`: the site does that itself when it needs it."""

    path: Path
    what: str
    mend: str = ""
    made: bool = False


@dataclass(frozen=True, slots=True)
class Listener:
    """An address that a part listens at."""

    part: str
    table: str
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Peer:
    """A machine that the site calls."""

    what: str
    host: str
    port: int


Thing = Folder | Secret | Listener | Peer


def surroundings_of(config: UpConfig) -> list[Thing]:
    """List what the site leans on, each thing once."""
    found: dict[Thing, None] = {Folder(config.state_folder, "[site] state"): None}
    tables = config.tables
    gathered: tuple[tuple[bool, Callable[[UpConfig], Iterator[Thing]]], ...] = (
        (bool({*LOOP_TABLES, "recovery"} & tables.keys()), _warehouse),
        ("acquire" in tables, _acquire),
        ("agent" in tables, _agent),
        (bool({"gallery", "gate", "sync", "device"} & tables.keys()), _galleries),
        ("recovery" in tables, _recovery),
        ("console" in tables, _console),
    )
    for asked, gather in gathered:
        if not asked:
            continue
        try:
            found.update(dict.fromkeys(gather(config)))
        except (IsthmusError, ModuleNotFoundError, OSError):
            continue  # the check of the TOML, or that of the extras, tells
    return list(found)


def _warehouse(config: UpConfig) -> Iterator[Thing]:
    table = config.tables.get("warehouse", {})
    root = table.get("root", "warehouse") if isinstance(table, Mapping) else "warehouse"
    if isinstance(root, str) and "://" not in root:
        yield Folder(config.place(root), "[warehouse] root")


def _acquire(config: UpConfig) -> Iterator[Thing]:
    from isthmus.app.acquiring.config import read_acquire_config
    from isthmus.app.acquiring.gates import gate_sites

    acquire = read_acquire_config(config.path)
    part = acquire.server
    yield Listener("acquire", "[acquire]", part.host, part.port)
    yield Folder(acquire.place(part.filing.root), "[acquire.filing] root")
    yield from _files(part, "[acquire]", "tls_key", "postgres_file")
    yield Secret(acquire.state_folder / "server.secret", "the server's secret", made=True)
    if part.nats:
        yield from _peer("[acquire] nats", part.nats)
    for label, site in gate_sites(acquire).items():
        if site.serving:
            table = f"[acquire.gate.{label}]"
            yield Folder(Path(site.part.out_folder), f"{table} out_folder", made=False)
            yield Folder(Path(site.part.in_folder), f"{table} in_folder", made=False)
            yield Secret(site.key, f"{table} key", f"isthmus acquire gate --environment {label} keys")


def _agent(config: UpConfig) -> Iterator[Thing]:
    from isthmus.app.acquiring.config import read_acquire_config
    from isthmus.app.acquiring.gates import gate_sites

    acquire = read_acquire_config(config.path)
    part = acquire.environment
    yield Folder(acquire.place(part.folder), "[agent] folder")
    for site in gate_sites(acquire).values():
        if not site.serving:
            yield Folder(Path(site.part.out_folder), "[agent.gate] out_folder", made=False)
            yield Folder(Path(site.part.in_folder), "[agent.gate] in_folder", made=False)
            yield Secret(site.key, "[agent.gate] key", "isthmus acquire gate keys")
    if part.gate is None:
        file = acquire.place(part.credential)
        yield Secret(file, "[agent] credential", "at the server: isthmus acquire environment add LABEL --out FILE")
        if file.is_file():
            yield from _peer("the interface server", str(_told(file).get("server", "")))
    for storage in part.storage:
        yield from _files(
            storage, "[[agent.storage]]", "password_file", "token_file", "ssh_key_file", "client_key"
        )


def _galleries(config: UpConfig) -> Iterator[Thing]:
    from isthmus.app.galleries.config import read_gallery_config

    galleries = read_gallery_config(config.path)
    gate, sync, device = galleries.gate, galleries.sync, galleries.device
    if gate is not None:
        yield Folder(Path(gate.folder), "[gate] folder", made=False)
        if gate.key:
            yield Secret(Path(gate.key), "[gate] key", "isthmus gate keys")
    if galleries.gallery is not None:
        yield from _files(galleries.gallery, "[gallery]", "mongodb_file")
    if sync is not None:
        yield Listener("sync", "[sync]", sync.host, sync.port)
        yield Secret(Path(sync.key), "[sync] key", made=True)
        yield from _files(sync, "[sync]", "tls_key")
    if device is not None:
        folder = galleries.place(device.folder)
        yield Folder(folder, "[device] folder")
        yield Secret(folder / "device.pem", "the device's key", made=True)
        yield from _files(device, "[device]", "store_key_file")
        if (folder / "enrolment.json").is_file():
            yield from _peer("the sync server", str(_told(folder / "enrolment.json").get("url", "")))


def _recovery(config: UpConfig) -> Iterator[Thing]:
    from isthmus.app.recovery.config import read_recovery_config

    recovery = read_recovery_config(config.path)
    part = recovery.recovery
    yield Secret(recovery.place(part.key), "[recovery] key", "isthmus recovery keys")
    yield from _files(part, "[recovery]", "token_file")
    if part.door is not None:
        yield Listener("recovery", "[recovery.door]", part.door.host, part.door.port)
        yield from _files(part.door, "[recovery.door]", "token_file", "tls_key")
    for key, place in (("out_place", part.out_place), ("in_place", part.in_place)):
        if place.startswith("http"):
            yield from _peer(f"[recovery] {key}", place)
        elif "://" not in place:
            yield Folder(recovery.place(place), f"[recovery] {key}")
    if part.road == "s3" and part.endpoint:
        yield from _peer("[recovery] endpoint", part.endpoint)


def _console(config: UpConfig) -> Iterator[Thing]:
    from isthmus.app.console import read_console_config

    console = read_console_config(config.path)
    part = console.console
    yield Listener("console", "[console]", part.host, part.port)
    yield from _files(part, "[console]", "tls_key")
    yield Secret(console.people_file, "people and keys of the console", made=True)


def _files(part: object, table: str, *names: str) -> Iterator[Secret]:
    """Tell the files with secrets that a table names."""
    for name in names:
        if path := getattr(part, name, ""):
            yield Secret(Path(path), f"{table} {name}", "put the secret there alone")


def _peer(what: str, url: str) -> Iterator[Peer]:
    parts = urlsplit(url)
    try:
        port = parts.port or _PORTS.get(parts.scheme, 0)
    except ValueError:
        return
    if parts.hostname and port:
        yield Peer(what, parts.hostname, port)


def _told(file: Path) -> Mapping[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, Mapping) else {}
