"""Where a MongoDB server's URI, which holds a password, is read from."""

from __future__ import annotations

from pathlib import Path

from isthmus.app.secrets import secret_of
from isthmus.core.errors import InputError


def server_uri(variable: str | None, file: Path | None) -> str:
    """Read a server's URI from an environment variable or a file: it holds a password. Raises InputError."""
    if (variable is None) == (file is None):
        raise InputError(
            "name one place of the MongoDB server's URI", "a file or an environment variable: it holds a password"
        )
    text = secret_of(file, variable)
    if not text.startswith(("mongodb://", "mongodb+srv://")):
        raise InputError(
            f"{file or variable} holds no URI of a MongoDB server", "write mongodb://… there, and nothing else"
        )
    return text
