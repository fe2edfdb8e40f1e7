"""Names of tables: `database.schema.table`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from isthmus.core.errors import InputError

_PART = re.compile(r"[a-z][a-z0-9_]{0,62}")


@dataclass(frozen=True, slots=True, order=True)
class TableName:
    """A full name of three lower-case parts. Raises InputError where a part is not a plain identifier."""

    database: str
    schema: str
    table: str

    def __post_init__(self) -> None:
        for part in (self.database, self.schema, self.table):
            if not _PART.fullmatch(part):
                raise InputError(
                    f"{part!r} is no table name part",
                    "use lower-case letters, digits and _, beginning with a letter",
                )

    @classmethod
    def parse(cls, text: str) -> TableName:
        """Parse `database.schema.table`. Raises InputError."""
        parts = text.split(".")
        if len(parts) != 3:
            raise InputError(f"{text!r} is no table name", "write database.schema.table")
        return cls(*parts)

    def __str__(self) -> str:
        return f"{self.database}.{self.schema}.{self.table}"
