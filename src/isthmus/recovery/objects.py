"""What a publication names: everything, a database, a schema or a table; and files that list such objects.

A list has one object a line, as the classic tools take it: `database`, `database.schema` or
`database.schema.table`; `*` is everything. What follows `#` or `//` is a remark.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from isthmus.core.errors import ConfigError, InputError, Mistake
from isthmus.state.files import replacing
from isthmus.warehouse.name import TableName

EVERYTHING = "*"
_MOST_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True, order=True)
class Object:
    """What is published: parts from the left, as many as are said. Raises InputError on a part that is no name."""

    database: str = ""
    schema: str = ""
    table: str = ""

    def __post_init__(self) -> None:
        said = [part for part in (self.database, self.schema, self.table) if part]
        if (self.database, self.schema, self.table)[: len(said)] != tuple(said):
            raise InputError(f"{self.parts} names no object", "write database, database.schema or all three")
        TableName(*(said + ["x"] * (3 - len(said))))

    @classmethod
    def parse(cls, text: str) -> Object:
        """Read what `str` writes. Raises InputError."""
        if text == EVERYTHING:
            return cls()
        parts = text.split(".")
        if not 1 <= len(parts) <= 3 or not all(parts):
            raise InputError(
                f"{text!r} names no object", f"write database, database.schema, all three, or {EVERYTHING}"
            )
        return cls(*parts)

    @classmethod
    def of(cls, name: TableName) -> Object:
        """Return the object that is one table."""
        return cls(name.database, name.schema, name.table)

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts that are said."""
        return tuple(part for part in (self.database, self.schema, self.table) if part)

    @property
    def kind(self) -> str:
        """What it is: everything, database, schema or table."""
        return ("everything", "database", "schema", "table")[len(self.parts)]

    def covers(self, other: Object) -> bool:
        """Tell whether whatever `other` names is named by this too; each object covers itself."""
        return other.parts[: len(self.parts)] == self.parts

    def __str__(self) -> str:
        return ".".join(self.parts) or EVERYTHING


def read_objects(path: Path) -> tuple[Object, ...]:
    """Read a list of objects, each once, in the order of the file.

    Raises ConfigError with every line that names none, InputError where the file cannot be read or names nothing.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(_MOST_BYTES + 1)
        text = raw.decode("utf-8-sig")
    except OSError as error:
        raise InputError(f"there is no list at {path}: {error.strerror}", "correct the path") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is no UTF-8 text (byte {error.start})", "save it as UTF-8") from error
    if len(raw) > _MOST_BYTES:
        raise InputError(f"{path} is larger than {_MOST_BYTES >> 20} MiB", "name schemas in place of their tables")
    found: dict[Object, None] = {}
    mistakes = []
    for number, line in enumerate(text.splitlines(), 1):
        name = line.partition("#")[0].partition("//")[0].strip()
        if not name:
            continue
        try:
            found[Object.parse(name)] = None
        except InputError as error:
            mistakes.append(Mistake(str(path), number, str(error)))
    if mistakes:
        raise ConfigError(mistakes)
    if not found:
        raise InputError(f"{path} names no object", "write one a line: database, database.schema or all three")
    return tuple(found)


def write_objects(path: Path, objects: Iterable[Object], remarks: Mapping[Object, str] | None = None) -> None:
    """Write a list that `read_objects` reads; a remark stands behind its object. Replaces the file whole."""
    said = remarks or {}
    with replacing(path) as file:
        for item in objects:
            remark = " ".join(said.get(item, "").split())
            file.write((f"{item}  # {remark}\n" if remark else f"{item}\n").encode())
