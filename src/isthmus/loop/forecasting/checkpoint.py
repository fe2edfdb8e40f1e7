"""The state of a training after each epoch, on disk: written whole or not at all, read without pickle."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

from isthmus.core.errors import Corrupt

NAME = "checkpoint.pt"


def save(folder: Path, state: dict[str, Any]) -> None:
    """Put `state` in place of the last checkpoint of `folder`, atomically."""
    part = folder / f".{NAME}.part"
    with part.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    part.rename(folder / NAME)


def load(folder: Path, identity: str) -> dict[str, Any] | None:
    """Read the checkpoint of the training `identity`; None where there is none, or it is of another one.

    Raises Corrupt where the file is broken.
    """
    path = folder / NAME
    if not path.exists():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # zip, unpickling and key errors alike: PyTorch raises no kind of its own
        raise Corrupt(f"{path} is broken", "delete it to train from the beginning") from error
    return state if state.get("identity") == identity else None
