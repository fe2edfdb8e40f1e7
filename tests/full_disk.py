"""A disk that is full after so many writes, for every kind of write that the stores and folders make."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from isthmus.state.store import Store


class Disk:
    """Lets so many writes through (syncs, renames, folders, transactions), then is full until it is emptied."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left: int | None = None
        for module, name in ((os, "fsync"), (Path, "mkdir"), (Path, "rename"), (Path, "replace")):
            monkeypatch.setattr(module, name, self.limited(getattr(module, name)))
        transaction = Store.transaction

        def limited(store: Store):  # type: ignore[no-untyped-def]
            self.write()
            return transaction(store)

        monkeypatch.setattr(Store, "transaction", limited)

    def write(self) -> None:
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "disk")

    def limited(self, act: Callable[..., object]) -> Callable[..., object]:
        """Return an act that counts as a write."""

        def limited(*arguments: object, **named: object) -> object:
            self.write()
            return act(*arguments, **named)

        return limited
