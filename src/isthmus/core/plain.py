"""Names that a condition can speak without quotes."""

from __future__ import annotations

import re

_PLAIN = re.compile(r"[a-z_][a-z0-9_]*")
_RESERVED = frozenset(
    (
        *("abs", "all", "and", "any", "array", "between", "by", "case", "cast", "contains", "date", "distinct"),
        *("else", "end", "exists", "false", "from", "group", "having", "in", "interval", "is", "like", "limit"),
        *("map", "not", "null", "on", "or", "order", "row", "select", "starts_with", "struct", "then", "true"),
        *("union", "values", "when", "where", "with"),
    )
)


def is_plain(name: str) -> bool:
    """Tell whether a name is lower-case letters, digits and _, and no word that conditions know."""
    return bool(_PLAIN.fullmatch(name)) and name not in _RESERVED
