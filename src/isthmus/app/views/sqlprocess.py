"""The process that runs one statement: reads what is asked as JSON from stdin, writes what was found to stdout."""

from __future__ import annotations

import datetime
import decimal
import json
import math
import resource
import sys
from pathlib import Path
from typing import Any

_CELL = 20_000
"""Characters of one cell that are told."""


def main() -> None:
    """Run the statement of stdin within its limits."""
    asked = json.load(sys.stdin)
    try:
        told = answer(asked)
    except MemoryError:
        told = {"error": f"the statement needs more than {asked['memory_mb']} MB", "refused": True}
    json.dump(told, sys.stdout, allow_nan=False)


def answer(asked: dict[str, Any]) -> dict[str, Any]:
    """Return columns, types and rows, or the error that was made."""
    from isthmus.core.errors import IsthmusError, QueryRefused
    from isthmus.warehouse.query import Reading

    megabytes = asked["memory_mb"]
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (asked["cpu_s"], asked["cpu_s"]))  # where nobody is left to kill it
    try:
        with Reading(Path(asked["olap"]), f"{megabytes // 2}MB", threads=2) as reading:
            limit = megabytes << 20
            resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
            found = reading.query(asked["sql"], limit=asked["limit"] + 1)
            return _told(found, asked["limit"], asked["bytes"])
    except IsthmusError as error:
        refused = isinstance(error, QueryRefused)
        return {"error": _text(error.what), "hint": _text(error.hint), "refused": refused}


def _told(found: Any, limit: int, most: int) -> dict[str, Any]:
    """Write a result as plain JSON values; rows are cut where they are too many or too large."""
    rows: list[list[Any]] = []
    size, more = 0, found.num_rows > limit
    for batch in found.slice(0, limit).to_batches(max_chunksize=256):
        columns = [column.to_pylist() for column in batch.columns]
        for row in zip(*columns, strict=True):
            cells = [_plain(cell) for cell in row]
            size += sum(len(cell) if isinstance(cell, str) else 16 for cell in cells)
            if size > most:
                return _whole(found, rows, True)
            rows.append(cells)
    return _whole(found, rows, more)


def _whole(found: Any, rows: list[list[Any]], more: bool) -> dict[str, Any]:
    types = [str(field.type) for field in found.schema]
    return {"columns": [_text(name) for name in found.column_names], "types": types, "rows": rows, "more": more}


def _plain(value: Any) -> Any:
    """Return a cell as text, number, truth or None; what has parts as JSON text."""
    if value is None or isinstance(value, (bool, int)):
        return value if not isinstance(value, int) or abs(value) < 2**53 else str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, (bytes, bytearray, memoryview)):
        return f"{len(value)} bytes"
    if isinstance(value, decimal.Decimal):
        return str(value)
    if isinstance(value, (list, dict, tuple)):
        return _text(json.dumps(_deep(value), ensure_ascii=False, default=str))
    return _text(str(value))


def _deep(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _deep(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_deep(item) for item in value[:1000]]
    return f"{value:g}" if isinstance(value, float) and not math.isfinite(value) else value


def _text(value: str) -> str:
    """Cut a long text, and keep what UTF-8 can hold."""
    short = value if len(value) <= _CELL else value[:_CELL] + "…"
    return short.encode("utf-8", "replace").decode()


if __name__ == "__main__":
    main()
