"""The receiver's own folders: private copies of what has arrived, and the quarantine.

    copies/<bundle>/<ending>                       taken from the carrier; whatever the gatekeeper does, it stays
    quarantine/<bundle>.<digest>/<ending>          set aside, with the reason beside it
    quarantine/<bundle>.<digest>/reason.json

A copy is nothing by itself: the journal says what it is worth, and copies that the journal does not speak of are
swept away.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from pathlib import Path

from blake3 import blake3

from isthmus.core.header import BundleName
from isthmus.core.ports import Carrier
from isthmus.state.files import replacing, sync_folder
from isthmus.transfer.arrival import Unit
from isthmus.transfer.gate import Step
from isthmus.transfer.journal import SetAside
from isthmus.transfer.sealing import digest_of

REASON = "reason.json"


class Staging:
    """The folders of one stream below `folder`. Raises OSError where the disk refuses."""

    def __init__(self, folder: Path, step: Step) -> None:
        self.folder, self._step = folder, step
        self._copies, self._quarantine = folder / "copies", folder / "quarantine"
        self._copies.mkdir(parents=True, exist_ok=True)
        self._quarantine.mkdir(exist_ok=True)

    def take(self, unit: Unit, carrier: Carrier) -> dict[str, Path]:
        """Copy the files of a bundle; return the copies by ending. Raises FileNotFoundError where one has gone."""
        folder = self._copies / str(unit.name)
        self.drop(str(unit.name))
        folder.mkdir()
        try:
            for ending, name in unit.files.items():
                carrier.take(name, folder / ending)
        except OSError:
            self.drop(str(unit.name))  # a full disk needs the room
            raise
        self._step("inbound taken")
        return self.copies(unit.name)

    def keep(self, name: BundleName) -> None:
        """Make a copy durable."""
        folder = self._copies / str(name)
        for file in folder.iterdir():
            with file.open("rb") as opened:
                os.fsync(opened.fileno())
        sync_folder(folder)
        sync_folder(self._copies)

    def copies(self, name: BundleName) -> dict[str, Path]:
        """Return the copies of a bundle by ending; none where there is no copy."""
        folder = self._copies / str(name)
        if not folder.is_dir():
            return {}
        files = sorted(folder.iterdir())  # a hidden one is a reason that a crash cut short
        return {file.name: file for file in files if file.name != REASON and not file.name.startswith(".")}

    def drop(self, name: str) -> None:
        """Remove the copies of a bundle."""
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self._copies / name)

    def held(self) -> list[str]:
        """List the bundles of which there are copies."""
        return sorted(entry.name for entry in self._copies.iterdir())

    def digest(self, name: BundleName) -> tuple[str, int]:
        """Return one BLAKE3 over the copies of a bundle, as hexadecimal digits, and their size in bytes."""
        whole, size = blake3(), 0
        for ending, file in self.copies(name).items():
            whole.update(f"{ending} {digest_of(file)}\n".encode())
            size += file.stat().st_size
        return whole.hexdigest(), size

    def set_aside(self, row: SetAside) -> None:
        """Move the copies of a bundle into the quarantine, with the reason. Doing it twice does nothing more."""
        source, target = self._copies / row.unit, self._quarantine / row.folder
        if not source.is_dir():
            source.mkdir()  # too large to be copied: the reason alone
        with replacing(source / REASON) as file:
            file.write(json.dumps(row.to_json(), indent=1).encode() + b"\n")
        self.dismiss(row)
        source.rename(target)
        sync_folder(self._quarantine)
        self._step("inbound set aside")

    def dismiss(self, row: SetAside) -> None:
        """Remove a bundle from the quarantine."""
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self._quarantine / row.folder)
