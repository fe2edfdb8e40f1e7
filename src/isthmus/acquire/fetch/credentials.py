"""Reads the secrets of a storage entry from where its settings say: files and environment variables."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from isthmus.acquire.fetch.settings import Storage
from isthmus.core.errors import InputError


@dataclass(frozen=True, slots=True)
class Secrets:
    """What nobody may see; never part of a message."""

    password: str = field(default="", repr=False)
    token: str = field(default="", repr=False)


def secrets(storage: Storage, environ: Mapping[str, str] | None = None) -> Secrets:
    """Read them. Raises InputError where a file or variable that is named cannot be read, or is empty."""
    known = os.environ if environ is None else environ
    return Secrets(
        _secret("password", storage.password_file, storage.password_env, known),
        _secret("token", storage.token_file, storage.token_env, known),
    )


def _secret(what: str, file: str, variable: str, known: Mapping[str, str]) -> str:
    if file:
        try:
            text = Path(file).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(
                f"the {what} file {file} cannot be read: {error}", "check its path and rights"
            ) from error
        found, where = text.rstrip("\r\n"), f"the file {file}"
    elif variable:
        found, where = known.get(variable, ""), f"the environment variable {variable}"
    else:
        return ""
    if not found or not found.isprintable():
        raise InputError(f"{where} holds no {what}", "put it there on one line")
    return found
