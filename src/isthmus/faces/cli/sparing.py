"""Keeps processes small: what a library would import because it happens to be installed is left out."""

from __future__ import annotations

import importlib.machinery
import sys
from collections.abc import Sequence
from types import ModuleType

LEFT_OUT = frozenset({"pandas"})
"""pyarrow imports pandas wherever it is installed: 27 MB a process, and a third of the time in which a command
answers. Without it pyarrow does the same work."""
WITH_BROUGHT = (
    *(("demo",), ("ingest",), ("loop",), ("mine",), ("rules",), ("scenes",), ("sources",)),
    *(("gallery",), ("device",), ("serve", "sync")),
)
"""The commands that may run what a site brings along, which may want pandas: sources, metrics, simulators and
extractors."""


class _LeftOut:
    """A finder that knows of no module that is left out."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Raise ModuleNotFoundError for what is left out; know nothing of anything else."""
        if name in LEFT_OUT:
            raise ModuleNotFoundError(f"{name} is left out of this process", name=name)
        return None


def spare(arguments: Sequence[str]) -> None:
    """Leave out of this process what it has no use for, as the words of the command line say what it will do."""
    words = [word for before, word in zip(("", *arguments), arguments, strict=False) if before != "--site"]
    named = tuple(word for word in words if not word.startswith("-"))
    if named and not any(named[: len(command)] == command for command in WITH_BROUGHT):
        sys.meta_path.insert(0, _LeftOut())
