"""What two sites hold of their tables, and where that differs: each difference is a type that has both sides.

Nothing here reads a table: `verify` takes the sums.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from isthmus.recovery.barrier import HeldFile
from isthmus.warehouse.checksum import RowSum


@dataclass(frozen=True, slots=True)
class TableSums:
    """What one side holds of a table at a barrier.

    `rows` is None where the rows were not summed, `files` where the files were not read; a file that is not there
    is not among them. `error` says why the rows cannot be read, and is empty where they can.
    """

    name: str
    identity: str
    version: int
    rows: RowSum | None = None
    files: tuple[HeldFile, ...] | None = None
    error: str = ""

    def to_json(self) -> dict[str, Any]:
        """Write the sums as plain JSON values."""
        return {
            "name": self.name,
            "identity": self.identity,
            "version": self.version,
            "rows": str(self.rows) if self.rows else None,
            "files": self.files if self.files is None else [_file_to_json(file) for file in self.files],
            "error": self.error,
        }

    @classmethod
    def of_json(cls, value: Mapping[str, Any]) -> TableSums:
        """Read what `to_json` writes. Raises ValueError on anything else."""
        try:
            rows, files = value["rows"], value["files"]
            return cls(
                str(value["name"]),
                str(value["identity"]),
                int(value["version"]),
                None if rows is None else RowSum.of_text(rows),
                None if files is None else tuple(HeldFile(str(p), int(s), bytes.fromhex(d)) for p, s, d in files),
                str(value["error"]),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"no sums of a table: {error!r}") from error


Sums = Mapping[str, TableSums]
"""What one side holds at a barrier, by the names of the tables."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A table that is not the same on both sides, with what each side has: None where it has no such table.

    Of the files only those are kept that the other side has not, or has otherwise.
    """

    WHAT: ClassVar[str] = ""

    expected: TableSums | None
    found: TableSums | None

    @property
    def name(self) -> str:
        """The name of the table."""
        return _one_of(self.expected, self.found).name

    def to_json(self) -> dict[str, Any]:
        """Write the difference as plain JSON values."""
        sides = {"expected": self.expected, "found": self.found}
        return {"what": self.WHAT} | {side: sums.to_json() if sums else None for side, sums in sides.items()}

    @staticmethod
    def of_json(value: Mapping[str, Any]) -> Difference:
        """Read what `to_json` writes. Raises ValueError on anything else."""
        try:
            kind = _KINDS[value["what"]]
            expected, found = (
                None if value[side] is None else TableSums.of_json(value[side]) for side in ("expected", "found")
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"no difference of a table: {error!r}") from error
        if (expected is None, found is None) != (kind is Unexpected, kind is Missing):
            raise ValueError(f"a difference that is {kind.WHAT} has other sides")
        return kind(expected, found)

    def __str__(self) -> str:
        return f"{self.name}: {self.WHAT}{self._more()}"

    def _more(self) -> str:
        return ""


class Missing(Difference):
    """The found side has no such table."""

    __slots__ = ()
    WHAT = "missing"


class Unexpected(Difference):
    """Only the found side has the table."""

    __slots__ = ()
    WHAT = "not expected"


class OtherTable(Difference):
    """Both have the name, but for two tables, or for two versions of one."""

    __slots__ = ()
    WHAT = "another table or version"

    def _more(self) -> str:
        mine, other = _one_of(self.expected), _one_of(self.found)
        return f" ({mine.identity[:8]} at {mine.version}, found {other.identity[:8]} at {other.version})"


class OtherRows(Difference):
    """The rows are others."""

    __slots__ = ()
    WHAT = "other rows"

    def _more(self) -> str:
        return f" ({_one_of(self.expected).rows}, found {_one_of(self.found).rows})"


class OtherFiles(Difference):
    """The files are others; the rows are equal as far as both are known."""

    __slots__ = ()
    WHAT = "other files"

    def _more(self) -> str:
        paths = sorted({file.path for side in (self.expected, self.found) for file in _one_of(side).files or ()})
        return f" ({', '.join(paths[:3])}{f' and {len(paths) - 3} more' if len(paths) > 3 else ''})"


class Unreadable(Difference):
    """One side could not read its rows."""

    __slots__ = ()
    WHAT = "not readable"

    def _more(self) -> str:
        return f" ({_one_of(self.found).error or _one_of(self.expected).error})"


class Unproven(Difference):
    """Neither files nor rows are known on both sides, or the rows were summed by two definitions."""

    __slots__ = ()
    WHAT = "not compared"


_KINDS: dict[str, type[Difference]] = {
    kind.WHAT: kind for kind in (Missing, Unexpected, OtherTable, OtherRows, OtherFiles, Unreadable, Unproven)
}


def undecided(expected: Sums, found: Sums) -> frozenset[str]:
    """Name the tables that both sides have and whose files do not prove them equal: their rows must be summed."""
    return frozenset(
        name
        for name, mine in expected.items()
        if name in found and (mine.files is None or mine.files != found[name].files)
    )


def joined(sums: Sums, rows: Sums) -> dict[str, TableSums]:
    """Add the sums of rows that were taken later to those that a side took of its files."""
    return {
        name: replace(mine, rows=rows[name].rows, error=mine.error or rows[name].error) if name in rows else mine
        for name, mine in sums.items()
    }


def compare(expected: Sums, found: Sums) -> list[Difference]:
    """List the tables that are not the same, sorted by name; none where all are proven equal."""
    differences = []
    for name in sorted(expected.keys() | found.keys()):
        difference = _difference(expected.get(name), found.get(name))
        if difference is not None:
            differences.append(difference)
    return differences


def _difference(expected: TableSums | None, found: TableSums | None) -> Difference | None:
    kind: type[Difference] | None = None
    if expected is None or found is None:
        return (Unexpected if expected is None else Missing)(expected, found)
    if (expected.identity, expected.version) != (found.identity, found.version):
        kind = OtherTable
    elif expected.error or found.error:
        kind = Unreadable
    elif expected.rows and found.rows and expected.rows.unlike(found.rows):
        kind = OtherRows
    elif expected.files is not None and found.files is not None:
        kind = None if expected.files == found.files else OtherFiles
    elif expected.rows is None or expected.rows != found.rows:
        kind = Unproven
    return kind(_only(expected, found), _only(found, expected)) if kind else None


def _only(mine: TableSums, other: TableSums) -> TableSums:
    """Return the sums with those files that the other side has not."""
    known = frozenset(other.files or ())
    return replace(mine, files=mine.files and tuple(file for file in mine.files if file not in known))


def _file_to_json(file: HeldFile) -> list[str | int]:
    return [file.path, file.size, file.digest.hex()]


def _one_of(*sides: TableSums | None) -> TableSums:
    return next(side for side in sides if side is not None)
