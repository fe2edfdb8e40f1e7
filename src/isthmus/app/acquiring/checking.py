"""What an interface server or an agent needs beside its TOML, and what a person should still do about it."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from pathlib import Path

from isthmus.acquire.agent import credential as credentials
from isthmus.acquire.fetch.credentials import secrets
from isthmus.acquire.server.trust import FolderTrust
from isthmus.app.acquiring.config import AcquireConfig, AcquirePart, AgentPart, read_acquire_config
from isthmus.app.acquiring.environments import environments, public_url, trusted
from isthmus.app.acquiring.gatechecking import left_at_gates, wrong_with_gates
from isthmus.app.secrets import secret_of
from isthmus.app.sitepart import open_toml
from isthmus.core.errors import InputError, IsthmusError

_Wrong = Iterator[tuple[tuple[str, ...], str]]


def check_acquire(path: Path) -> tuple[str, list[str]]:
    """Check the acquire tables of a site's TOML and the files that they name.

    Returns what the site is, and notes on what is left to be done. Raises ConfigError with every mistake and its
    line.
    """
    config = read_acquire_config(path)
    reader = open_toml(path)
    what: list[str] = []
    notes: list[str] = []
    if config.acquire is not None:
        for where, wrong in _server_mistakes(config, config.acquire):
            reader.mistake(where, wrong)
        what.append(_server(config, config.acquire))
        notes += _server_notes(config, config.acquire)
    if config.agent is not None:
        gate = config.agent.gate
        through = f"an agent for {gate.environment} through gate folders" if gate is not None else ""
        told, wrong = (through, "") if through else _credential(config, config.agent)
        if wrong:
            reader.mistake(("agent", "credential"), wrong)
        for where, wrong in _agent_mistakes(config.agent):
            reader.mistake(where, wrong)
        what.append(told)
        notes += _agent_notes(config, config.agent)
    for where, wrong in wrong_with_gates(config):
        reader.mistake(where, wrong)
    notes += left_at_gates(config)
    reader.finish()
    return ", ".join(what), notes


def _server_mistakes(config: AcquireConfig, part: AcquirePart) -> _Wrong:
    if part.tls_certificate:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(part.tls_certificate, part.tls_key)
        except (OSError, ssl.SSLError) as error:
            why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            yield (
                ("acquire", "tls_certificate"),
                f"{part.tls_certificate} and {part.tls_key} cannot be used: {why}",
            )
    if part.postgres_file:
        try:
            found = secret_of(Path(part.postgres_file), None)
        except (OSError, InputError) as error:
            found, why = "", str(error)
        else:
            why = f"{part.postgres_file} is empty"
        if not found:
            yield ("acquire", "postgres_file"), f"{why}; write the connection string there alone"
    if blocked := _blocked(config.place(part.filing.root)):
        yield ("acquire", "filing", "root"), f"images cannot be written: {blocked}"
    if blocked := _blocked(config.state_folder):
        yield ("site", "state"), f"the state cannot be written: {blocked}"
    trust = FolderTrust(trusted(config))
    for label, _ in environments(config):
        try:
            trust.checkers(label)
        except (IsthmusError, OSError, UnicodeDecodeError) as error:
            yield ("acquire",), f"environment {label}: {error}"


def _blocked(folder: Path) -> str:
    """Say what keeps a folder from being written, or made; empty where nothing does."""
    there = folder
    while not there.exists() and there != there.parent:
        there = there.parent
    if not there.is_dir():
        return f"{there} is no folder"
    return "" if os.access(there, os.W_OK | os.X_OK) else f"no right to write into {there}"


def _server(config: AcquireConfig, part: AcquirePart) -> str:
    try:
        where = public_url(config)
    except InputError:
        where = f"{part.host}, any free port"
    ledger = f"a ledger in PostgreSQL (schema {part.postgres_schema})" if part.shared else "an embedded ledger"
    return f"an interface server at {where} with {ledger}"


def _server_notes(config: AcquireConfig, part: AcquirePart) -> Iterator[str]:
    known = environments(config)
    if known:
        yield f"environments: {', '.join(label for label, _ in known)}"
    else:
        yield "no environment has a credential yet: isthmus acquire environment add LABEL --out FILE"
    if part.postgres_env and not os.environ.get(part.postgres_env):
        yield f"the environment variable {part.postgres_env} is not set here; the server needs it"
    if not (part.keep.days or part.keep.gigabytes):
        yield "images are kept for ever: set days or gigabytes in [acquire.keep]"


def _credential(config: AcquireConfig, part: AgentPart) -> tuple[str, str]:
    """Return what the agent is, and what is wrong with its credential."""
    path = config.place(part.credential)
    if not path.exists():
        return "an agent without a credential", ""
    try:
        found = credentials.load(path)
        found.context()
    except (IsthmusError, OSError) as error:
        return "an agent", str(error)
    return f"an agent for {found.environment} at {found.server}", ""


def _agent_mistakes(part: AgentPart) -> _Wrong:
    for number, storage in enumerate(part.storage, 1):
        try:
            secrets(storage)
        except InputError as error:
            yield ("agent", "storage"), f"storage entry {number}: {error}"
        for name in ("ssh_key_file", "known_hosts", "ca_file", "client_certificate", "client_key"):
            file = getattr(storage, name)
            if file and not os.access(file, os.R_OK):
                yield ("agent", "storage"), f"storage entry {number}: {name} {file} cannot be read"
    if blocked := _blocked(Path(part.folder)):
        yield ("agent", "folder"), f"results cannot be kept: {blocked}"


def _agent_notes(config: AcquireConfig, part: AgentPart) -> Iterator[str]:
    if part.gate is None and not config.place(part.credential).exists():
        yield f"{part.credential} is not there yet: isthmus acquire environment add, at the server, makes it"
    if not part.allow:
        yield "nothing may be asked for: every request fails as forbidden until [[agent.allow]] names hosts"
    for root in (root for rule in part.allow for root in rule.roots):
        if not Path(root).is_dir():
            yield f"{root}, from which files may be read, is not there"
