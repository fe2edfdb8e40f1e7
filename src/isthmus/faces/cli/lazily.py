"""Commands whose modules are imported when they are asked for: the help, or one command, costs no other's time."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, MutableMapping, Sequence

import click


class Entry:
    """A command of the root: its name, the line that help shows of it, the modules whose import adds it."""

    def __init__(self, name: str, about: str, *modules: str) -> None:
        self.name, self.about, self.modules = name, about, modules


class Lazily(MutableMapping[str, click.Command]):
    """The commands of a group by name, in the order of their entries; reading one imports its modules."""

    def __init__(self, entries: Sequence[Entry], loaded: Mapping[str, click.Command]) -> None:
        self.entries = {entry.name: entry for entry in entries}
        self._loaded = dict(loaded)
        self._imported: set[str] = set()

    def about(self, name: str) -> str:
        """Return the line that help shows of a command, without importing it."""
        return self.entries[name].about if name in self.entries else self[name].get_short_help_str(200)

    def __getitem__(self, name: str) -> click.Command:
        for module in self.entries[name].modules if name in self.entries else ():
            if module not in self._imported:
                self._imported.add(module)
                importlib.import_module(f"isthmus.faces.cli.{module}")
        return self._loaded[name]

    def __setitem__(self, name: str, command: click.Command) -> None:
        self._loaded[name] = command

    def __delitem__(self, name: str) -> None:
        del self._loaded[name]
        self.entries.pop(name, None)

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys((*self.entries, *self._loaded)))

    def __len__(self) -> int:
        return len({*self.entries, *self._loaded})

    def __contains__(self, name: object) -> bool:
        return name in self.entries or name in self._loaded
