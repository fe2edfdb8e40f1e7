"""Reads a secret from a file or an environment variable: never from the command line, which shows in lists."""

from __future__ import annotations

import os
from pathlib import Path

from isthmus.core.errors import InputError


def secret_of(file: Path | None, variable: str | None) -> str:
    """Return what a file or a variable holds, without the blanks around it; empty where it holds nothing.

    Raises InputError where the file is no text, OSError where it cannot be read.
    """
    if file is None:
        return os.environ.get(variable or "", "").strip()
    try:
        return file.read_text(encoding="utf-8").strip()
    except UnicodeDecodeError as error:
        raise InputError(f"{file} is no text", "put the secret there alone, on one line") from error
