"""The files that one version of a table is made of: what a copy needs to be opened elsewhere at that version.

Paths in a manifest are relative to the table's folder, so the listed files, put at the same paths in any other
folder, are the table. That is not so for a shallow clone, a branch, or a table with base paths elsewhere: their
manifests point out of the folder, and they are refused.

`_versions/latest_version_hint.json` is no part of a version. What Lance 14 does with it, as the tests hold fast:

- Every commit writes it, `{"version": N}`, after the manifest.
- Opening a table in a local folder never reads it: the latest version is the highest manifest in `_versions`.
- Opening a table in an object store believes it: beginning at the version that it names, Lance asks for the next
  versions one by one, and stops at the first that is missing. Where only some versions were copied, a hint that is
  too low makes a reader stop below the gap, at an OLD version, without a word. A hint that is missing, broken or
  names a version that is not there is passed over, and the folder is listed.
- A commit reads it in the same way, in local folders too: on top of a version that is not the latest, a hint below
  a gap makes it take the free number in the gap. It then lies hidden under the latest version.

So whoever publishes copies of versions writes the data, then the manifest, and the hint last, naming exactly the
version that shall be the latest. Opening a version by its number, as a standby does, never depends on the hint.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args

from isthmus.core.errors import Corrupt, InputError
from isthmus.warehouse.place import as_uri, file_system, local_path
from isthmus.warehouse.table import Table

Kind = Literal["manifest", "data file", "deletion file", "transaction file", "index file"]
VERSIONS = "_versions"
HINT = f"{VERSIONS}/latest_version_hint.json"
_HIGHEST = 2**64 - 1


@dataclass(frozen=True, slots=True, order=True)
class TableFile:
    """One file of a version: its path inside the table's folder, its size in bytes, and what it is."""

    path: str
    size: int
    kind: Kind


def files_of(table: Table) -> tuple[TableFile, ...]:
    """List the files of exactly the version that the table is read at, sorted by path.

    Raises InputError for what cannot be copied by its files (a shallow clone, base paths elsewhere, branches) and
    for a version that is gone, Corrupt where a file that the version names is not there.
    """
    _in_one_folder(table)
    version, own = table.version, as_uri(table.uri)
    try:
        rows = table.dataset.tracked_files(min_version=version).read_all()
    except (ValueError, OSError, RuntimeError) as error:
        if _manifest(table) is None:
            raise _gone(table) from error
        raise Corrupt(
            f"the files of {table.uri} cannot be listed: {str(error).splitlines()[0]}",
            "a manifest of the table is damaged; restore it",
        ) from error
    found: dict[str, Kind] = {}
    for row in rows.to_pylist():
        if row["version"] != version:
            continue
        if as_uri(row["base_uri"]) != own:
            raise _elsewhere(table, row["base_uri"])
        if row["type"] not in get_args(Kind):
            raise InputError(
                f"{table.uri} holds a {row['type']}, which is not known here", "install a later release"
            )
        found[row["path"]] = row["type"]
    if "manifest" not in found.values():
        raise _gone(table)
    return tuple(sorted(_sized(table, found)))


def manifest_of(table: Table) -> str:
    """Return the path of the manifest of the table's version, inside its folder. Raises InputError where gone."""
    path = _manifest(table)
    if path is None:
        raise _gone(table)
    return path


def manifest_path(version: int) -> str:
    """Return where Lance puts the manifest of a version: numbered downwards, so the latest is listed first."""
    return f"{VERSIONS}/{_HIGHEST - version:020d}.manifest"


def _manifest(table: Table) -> str | None:
    files, root = file_system(table.uri, table.storage_options)
    older = f"{VERSIONS}/{table.version}.manifest"  # the naming of tables that an old release of Lance made
    return next((path for path in (manifest_path(table.version), older) if files.exists(f"{root}/{path}")), None)


def _sized(table: Table, found: dict[str, Kind]) -> Iterator[TableFile]:
    files, root = file_system(table.uri, table.storage_options)
    place = local_path(table.uri)
    for path, kind in found.items():
        try:
            size = files.info(f"{root}/{path}")["size"] if place is None else (place / path).stat().st_size
            yield TableFile(path, int(size), kind)
        except FileNotFoundError as error:
            raise Corrupt(
                f"{table.uri} at version {table.version} lacks its {kind} {path}",
                "the version was cleaned up meanwhile, or the table is damaged",
            ) from error


def _in_one_folder(table: Table) -> None:
    dataset: Any = table.dataset
    bases = dataset.base_paths()
    if bases:
        raise _elsewhere(table, next(iter(bases.values())).path)
    branches = sorted(dataset.branches.list())
    if branches:
        raise InputError(
            f"{table.uri} has branches ({', '.join(branches)}), which no copy of a version carries",
            "keep what is needed of them as tables of their own, and delete them",
        )


def _elsewhere(table: Table, base: str) -> InputError:
    return InputError(
        f"{table.uri} reads files that lie elsewhere, under {base}",
        "it is a shallow clone or was given base paths; make a table of its own with its rows",
    )


def _gone(table: Table) -> InputError:
    return InputError(
        f"{table.uri} has no version {table.version} any more", "it was cleaned up; read the latest, and pin it"
    )
