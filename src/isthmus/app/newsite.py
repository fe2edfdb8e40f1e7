"""Writes the TOML of a new site, never over one that is there."""

from __future__ import annotations

from pathlib import Path

from isthmus.core.errors import InputError
from isthmus.state.files import replacing

_HEAD = """\
# A site of Isthmus. The keys of a table are explained by, for example: isthmus keys {table}
# Relative paths start from the folder of this file.

[site]
name = "{name}"
"""


def write_new(folder: Path, tables: str, table: str) -> Path:
    """Write a TOML with the text `tables` into `folder`; `table` is the one whose keys its head speaks of.

    Raises InputError where a site is there already.
    """
    path = folder / "isthmus.toml"
    if path.exists():
        raise InputError(f"{path} is there already", "choose another folder, or edit that file")
    folder.mkdir(parents=True, exist_ok=True)
    name = "".join(sign if sign.isalnum() or sign in "-_" else "-" for sign in folder.resolve().name) or "site"
    with replacing(path) as file:
        file.write((_HEAD.format(name=name, table=table) + tables).encode())
    return path
