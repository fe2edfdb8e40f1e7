"""A carrier inside a process: for tests, and the base of the rough ones among them."""

from __future__ import annotations

from pathlib import Path

from isthmus.core.ports import Arrival


class MemoryCarrier:
    """Files by name in a dictionary, as a `core.ports.Carrier`."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self._stamps: dict[str, int] = {}
        self._count = 0

    def hold(self, name: str, content: bytes) -> None:
        """Let `content` lie under `name`, as if a gatekeeper had just written it."""
        self._count += 1
        self.files[name], self._stamps[name] = content, self._count

    def put(self, name: str, file: Path) -> None:
        """Hand over a file under a name."""
        self.hold(name, file.read_bytes())

    def names(self) -> list[str]:
        """List what is there, sorted."""
        return sorted(self.files)

    def look(self, name: str) -> Arrival:
        """Tell size and stamp; the stamp counts the writings."""
        if name not in self.files:
            raise FileNotFoundError(name)
        return Arrival(len(self.files[name]), str(self._stamps[name]))

    def take(self, name: str, into: Path) -> int:
        """Copy what lies under `name` into a file."""
        if name not in self.files:
            raise FileNotFoundError(name)
        return into.write_bytes(self.files[name])

    def drop(self, name: str) -> None:
        """Remove what lies under `name`."""
        self.files.pop(name, None)
        self._stamps.pop(name, None)
