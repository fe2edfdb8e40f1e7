"""Tables on the standard output: fitted to a terminal, tab-separated and exact in a pipe.

A terminal that is too narrow for a table gets it folded, turned round, in strips, or as one block a row: never
crushed.
"""

from __future__ import annotations

import datetime
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

_GAP = 2
_FOLDED = 20
"""A column is never folded to less than this many signs."""
_ROWS = 40
_RECORDS = 5
_ITEMS = 8
_ROUND = 1e15
"""From here on a figure has more digits than it is exact to."""
_ESCAPES = str.maketrans({"\t": "\\t", "\n": "\\n", "\r": "\\r"})

out = Console(highlight=False, markup=False, emoji=False)


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]], *, cut: bool = False) -> int:
    """Print a table; returns how many rows were shown.

    In a pipe all rows go out, a header line first, values in full, tabs and line ends escaped. With `cut` a
    terminal shows the first rows alone.
    """
    body = [list(row) for row in rows]
    if not out.is_terminal:
        for line in (list(columns), *body):
            print("\t".join(exact(value) for value in line))
        sys.stdout.flush()
        return len(body)
    shown = body[:_ROWS] if cut else body
    cells = [[cell(value) for value in row] for row in shown]
    right = [bool(shown) and all(_number(row[n]) for row in shown) for n in range(len(columns))]
    natural = _widths(columns, cells)
    least = [min(width, _FOLDED) for width in natural]
    if _total(least) <= out.width:
        _print(columns, cells, right, [width <= _FOLDED for width in natural])
        return len(shown)
    turned = [[name, *(row[n] for row in cells)] for n, name in enumerate(columns)]
    if cells and len(cells) <= 12 and _total(_widths(turned[0], turned[1:])) <= out.width:
        _print(turned[0], turned[1:], [False, *([True] * len(cells))], [True] * (len(cells) + 1))
        return len(shown)
    pairs = [_total([natural[0], width]) for width in natural[1:]]
    if all(right[1:]) and natural[0] <= _FOLDED * 2 and max(pairs, default=natural[0]) <= out.width:
        for numbers in _strips(natural):
            strip = [[row[n] for n in numbers] for row in cells]
            _print([columns[n] for n in numbers], strip, [right[n] for n in numbers], [True] * len(numbers))
        return len(shown)
    shown = shown[:_RECORDS] if cut else shown
    for number, row in enumerate(cells[: len(shown)], 1):
        _record(number, columns, row)
    return len(shown)


def aligned(rows: Sequence[tuple[str, str]]) -> None:
    """Print pairs of a name and a text, the texts below each other: for people, in a pipe too."""
    wide = max((cell_len(name) for name, _ in rows), default=0)
    for name, text in rows:
        line = Text(name.ljust(wide + _GAP), "bold") + Text(text)
        line_width = out.width if out.is_terminal else 10_000
        for number, part in enumerate(_wrapped(line, line_width, wide + _GAP)):
            out.print(part if not number else Text(" " * (wide + _GAP)) + part, soft_wrap=True)


def cell(value: Any) -> str:
    """Write one value for a person: short figures, long lists by their beginning."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.0f}" if 1000 <= abs(value) < _ROUND else f"{value:.4g}"
    if isinstance(value, datetime.datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    if isinstance(value, (list, tuple)):
        more = f", … {len(value)} in all" if len(value) > _ITEMS else ""
        return "[" + ", ".join(cell(item) for item in value[:_ITEMS]) + more + "]"
    return str(value).translate(_ESCAPES)


def exact(value: Any) -> str:
    """Write one value for a program: in full, on one line, without tabs; nothing is an empty text."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(exact(item) for item in value) + "]"
    return str(value).translate(_ESCAPES)


def _strips(widths: Sequence[int]) -> Iterator[list[int]]:
    """Part the columns into strips that fit, each beginning with the first column, which names the rows."""
    strip = [0]
    for number in range(1, len(widths)):
        if len(strip) > 1 and _total([widths[n] for n in (*strip, number)]) > out.width:
            yield strip
            strip = [0]
        strip.append(number)
    yield strip


def _number(value: Any) -> bool:
    return value is None or (isinstance(value, (int, float)) and not isinstance(value, bool))


def _widths(columns: Sequence[str], cells: Sequence[Sequence[str]]) -> list[int]:
    return [max(cell_len(name), *(cell_len(row[n]) for row in cells), 1) for n, name in enumerate(columns)]


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + _GAP * (len(widths) - 1)


def _print(
    columns: Sequence[str], cells: Sequence[Sequence[str]], right: Sequence[bool], whole: Sequence[bool]
) -> None:
    made = Table(box=None, padding=(0, _GAP, 0, 0), pad_edge=False, header_style="bold")
    for name, to_right, stays in zip(columns, right, whole, strict=True):
        made.add_column(
            Text(name),
            justify="right" if to_right else "left",
            overflow="fold",
            no_wrap=stays,
            min_width=None if stays else _FOLDED,
        )
    for row in cells:
        made.add_row(*(Text(text) for text in row))  # as Text: brackets in values are no markup
    out.print(made)


def _record(number: int, columns: Sequence[str], row: Sequence[str]) -> None:
    out.print(Text(f"row {number}", "bold"))
    wide = max((cell_len(name) for name in columns), default=0)
    for name, text in zip(columns, row, strict=True):
        head = f"  {name.ljust(wide)}  "
        for part, piece in enumerate(_wrapped(Text(text), out.width - len(head), 0)):
            out.print(Text(head if not part else " " * len(head)) + piece, soft_wrap=True)


def _wrapped(text: Text, width: int, indent: int) -> list[Text]:
    """Fold a text into lines; all but the first are `indent` shorter."""
    if cell_len(text.plain) <= width:
        return [text]
    first, *rest = text.wrap(out, max(width, _FOLDED))
    remainder = Text(text.plain[len(first.plain) :].lstrip())
    if not indent:
        return [first, *rest]
    return [first, *(remainder.wrap(out, max(width - indent, _FOLDED)) if remainder.plain else [])]
