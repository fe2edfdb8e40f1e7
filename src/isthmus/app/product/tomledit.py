"""Sets keys in the text of a TOML and leaves its comments, its order and all else as it is.

For the texts that begin a new site: keys of tables that stand there, or in a comment, one key a line.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_HEADER = re.compile(r"^\[\[?\s*([^\]]+?)\s*\]\]?")
_COMMENT_AT = 24
"""The column at which comments stand in the texts."""


@dataclass(frozen=True, slots=True)
class Setting:
    """A value for a key of a table: a text, a whole number, or a list of texts."""

    table: str
    key: str
    value: object


def with_settings(text: str, settings: Iterable[Setting]) -> str:
    """Return the text with each key set: in its line, over a comment that shows it, or at its table's end."""
    lines = text.splitlines()
    for one in settings:
        begin = _begin(lines, one.table)
        if begin is None:
            lines += ["", f"[{one.table}]", _line(one)]
            continue
        end = next((n for n in range(begin, len(lines)) if _HEADER.match(lines[n])), len(lines))
        place = _key_line(lines[begin:end], one.key)
        if place is not None:
            lines[begin + place] = _line(one, _comment(lines[begin + place]))
            continue
        while end > begin and (not lines[end - 1].strip() or lines[end - 1].startswith("#")):
            end -= 1  # what is said before the next table belongs to that
        lines.insert(end, _line(one))
    return "\n".join(lines) + "\n"


def _begin(lines: Sequence[str], table: str) -> int | None:
    """Return the number of the line after a table's header."""
    for number, line in enumerate(lines):
        header = _HEADER.match(line)
        if header and header[1] == table:
            return number + 1
    return None


def _key_line(lines: Sequence[str], key: str) -> int | None:
    """Return the number of a key's line, or of a comment that shows it."""
    for begins in (rf"^{re.escape(key)}\s*=", rf"^#\s*{re.escape(key)}\s*="):
        for number, line in enumerate(lines):
            if re.match(begins, line):
                return number
    return None


def _comment(line: str) -> str:
    """Return the comment after a value, of a line that is no comment itself."""
    found = re.search(r"(?<=\s)#\s.*$", line.lstrip("# "))
    return found[0] if found else ""


def _line(one: Setting, comment: str = "") -> str:
    value = f"{one.key} = {json.dumps(one.value, ensure_ascii=False)}"
    return f"{value:<{_COMMENT_AT}} {comment}" if comment else value
