"""Keeps servers small: what a library would import because it happens to be installed, and no server asks for."""

from __future__ import annotations

import importlib.machinery
import sys
from collections.abc import Sequence
from types import ModuleType

LEFT_OUT = frozenset({"pandas"})
"""pyarrow imports pandas wherever it is installed, 27 MB a process; without it pyarrow does the same work."""


class _LeftOut:
    """A finder that knows of no module that is left out."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Raise ModuleNotFoundError for what is left out; know nothing of anything else."""
        if name in LEFT_OUT:
            raise ModuleNotFoundError(f"{name} is left out of servers", name=name)
        return None


def spare(arguments: Sequence[str]) -> None:
    """Leave out of this process what a server has no use for, where the words of the command line start one."""
    words = [word for before, word in zip(("", *arguments), arguments, strict=False) if before != "--site"]
    if [word for word in words if not word.startswith("-")][:1] == ["serve"]:
        sys.meta_path.insert(0, _LeftOut())
