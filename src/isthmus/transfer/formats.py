"""The formats in which a bundle travels, behind one door: whoever sends or receives need not tell them apart."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from isthmus.core.errors import InputError
from isthmus.core.header import BundleName, Header
from isthmus.transfer.bundle import LEVEL, Members, open_bundle, pack
from isthmus.transfer.limits import STANDARD, Limits
from isthmus.transfer.naming import ENDINGS, Format, complete, family, names_of
from isthmus.transfer.opened import Opened
from isthmus.transfer.plain import open_plain, pack_plain
from isthmus.transfer.refusal import Truncated
from isthmus.transfer.signing import Allowed, SigningKey

__all__ = ["ENDINGS", "Format", "complete", "family", "names_of", "open_files", "seal"]


def seal(
    form: Format,
    folder: Path,
    header: Header,
    members: Members,
    key: SigningKey,
    limits: Limits = STANDARD,
    beat: int | None = None,
    level: int = LEVEL,
) -> list[Path]:
    """Make the files of a bundle in `folder`, named after its position; the one that bears the signature last.

    `beat` tells heartbeats at one position apart; left out, the milliseconds of `header.made` do. Raises what
    `pack` and `pack_plain` raise.
    """
    if form == "plain":
        return list(pack_plain(folder, header, members, key, limits, beat))
    name = names_of(form, header, beat)[0]
    return [pack(folder / str(name), header, members, key, limits, level).file]


def open_files(name: BundleName, files: Mapping[str, Path], allowed: Allowed, limits: Limits = STANDARD) -> Opened:
    """Verify and open the bundle that a file of this name belongs to; `files` are those that came, by ending.

    Raises InputError for an ending that no bundle has, Truncated where one of its files has not come, and what
    `open_bundle` and `open_plain` raise.
    """
    endings = family(name.ending)
    if not endings:
        raise InputError(f"{name} is no name of a bundle", "leave it: only bundles are read")
    signed = files.get(endings[-1])
    if signed is None:
        raise Truncated.at(name, f"its .{endings[-1]} has not come")
    if endings[-1].endswith("tar"):
        return open_bundle(signed, allowed, limits)
    return open_plain(files.get(endings[0]) if len(endings) > 1 else None, signed, allowed, limits)
