"""Leaves the console open over all sites of a demonstration, for one user whose password is told once."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from isthmus.app import stage
from isthmus.core.errors import InputError
from isthmus.state.files import replacing, write_private

USER = "demo"
FILE = "isthmus.toml"
PORT = 8460
_LONGEST = 3
"""Sites lie so deep at most: FOLDER/gallery/inner/isthmus.toml."""


def sites_of(folder: Path) -> list[Path]:
    """List the TOMLs of the sites that a demonstration left, the main one first. Raises InputError for none."""
    found: list[Path] = []
    for depth in range(_LONGEST):
        found += sorted(folder.glob("/".join(["*"] * depth + [FILE])))
    if not found:
        raise InputError(f"{folder} has no site", "tell the demonstration first: isthmus demo")
    return found


def prepare_console(folder: Path) -> tuple[Path, str]:
    """Give the main site a console over all of them, and a user; returns the site's folder and the password.

    The user's password is a new one each time.
    """
    main, *others = sites_of(folder)
    listed = "".join(f'    "{os.path.relpath(site, main.parent)}",\n' for site in others)
    before = main.read_text(encoding="utf-8").partition("\n[console]")[0].rstrip("\n")
    table = f"\n\n[console]                # written by isthmus demo --serve: keep it last\nport = {_port()}\n"
    with replacing(main) as file:
        file.write(f"{before}{table}sites = [\n{listed}]\n".encode())
    password = secrets.token_urlsafe(12)
    with _kept(main.parent / "password", password) as given:
        known = stage.tell(main.parent, "user", "list").splitlines()[1:]
        if any(line.split("\t")[0] == USER for line in known):
            stage.tell(main.parent, "user", "password", USER, "--password-file", str(given))
        else:
            stage.tell(main.parent, "user", "add", USER, "--role", "admin", "--password-file", str(given))
    return main.parent, password


def serve_console(site: Path) -> int:
    """Serve the console of a site as a process of its own until somebody interrupts; returns its exit code."""
    with stage.interruptible():
        # a group of its own: ctrl-C reaches this process alone, which ends the other once
        process = subprocess.Popen(stage.command(site, "serve", "console"), text=True, process_group=0)
        try:
            return process.wait()
        except KeyboardInterrupt:
            stage.end(process)
            return 0


@contextmanager
def _kept(path: Path, text: str) -> Iterator[Path]:
    """Lend a file that its owner alone can read."""
    write_private(path, f"{text}\n".encode())
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def _port() -> int:
    """Return the console's usual port, or 0 for any where something listens there."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", PORT))
        except OSError:
            return 0
    return PORT
