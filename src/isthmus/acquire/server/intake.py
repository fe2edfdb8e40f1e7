"""From what a client posted to checked wishes: JSON, JSON lines or CSV; every mistake is told with its line.

In a JSON list the "line" of a wish is its place in the list, from 1. Nothing here trusts the body: any bytes
give wishes or mistakes, never an exception.
"""

from __future__ import annotations

import csv
import enum
import io
import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import msgspec

from isthmus.acquire.request import (
    LEAST_EDGE,
    MOST_ADDRESS,
    MOST_EDGE,
    MOST_RECORD,
    MOST_REQUESTS,
    MOST_TAG,
    MOST_TAGS,
    MOST_THUMBNAILS,
    PRIORITIES,
    Wish,
    check,
    is_environment,
)
from isthmus.core.errors import InputError, suggestion

MOST_BYTES = 64 << 20
"""So long a body may be."""
MOST_TOLD = 20
"""So many mistakes are told one by one."""
_MOST_SHOWN = 300
_FIELDS = tuple(field.name for field in msgspec.structs.fields(Wish))
_NEEDED = ("address", "environment", "record")
_LISTS = frozenset({"tags", "thumbnails"})
_BOM = b"\xef\xbb\xbf"


class Form(enum.StrEnum):
    """How wishes are written down."""

    JSON = "application/json"
    LINES = "application/x-ndjson"
    CSV = "text/csv"


_FORMS = {
    "application/json": Form.JSON,
    "application/x-ndjson": Form.LINES,
    "application/ndjson": Form.LINES,
    "application/jsonl": Form.LINES,
    "text/csv": Form.CSV,
    "application/csv": Form.CSV,
}
_SUFFIXES = {".json": Form.JSON, ".jsonl": Form.LINES, ".ndjson": Form.LINES, ".csv": Form.CSV}


@dataclass(frozen=True, slots=True)
class Wrong:
    """One thing that is wrong, and where. Line 0 is the body as a whole."""

    line: int
    what: str


@dataclass(frozen=True, slots=True)
class Intake:
    """What a body holds: wishes where nothing is wrong, else the first mistakes and how many more there are."""

    wishes: tuple[Wish, ...] = ()
    wrong: tuple[Wrong, ...] = ()
    more: int = 0


def form_of(content_type: str, file_name: str = "") -> Form | None:
    """Tell how a body is written down from its media type or, where that says nothing, its file's name."""
    known = _FORMS.get(content_type.partition(";")[0].strip().lower())
    if known is None and file_name:
        known = _SUFFIXES.get(file_name[file_name.rfind(".") :].lower())
    return known


def read(body: bytes, form: Form) -> Intake:
    """Read and check a body. Quick where all is well: everything is looked at in bulk first."""
    if len(body) > MOST_BYTES:
        return Intake(wrong=(Wrong(0, f"{len(body)} bytes are more than {MOST_BYTES}"),))
    body = body.removeprefix(_BOM)
    if form is Form.CSV:
        return _from_table(body)
    try:
        wishes = _quickly(body, form)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return _one_by_one(_lines(body) if form is Form.LINES else _items(body))
    if not wishes:
        return Intake(wrong=(Wrong(0, "there is no request in it"),))
    return _checked(wishes, None if form is Form.JSON else body)


_ONE, _MANY = msgspec.json.Decoder(Wish), msgspec.json.Decoder(list[Wish])


def _quickly(body: bytes, form: Form) -> list[Wish]:
    if form is Form.LINES:
        return _ONE.decode_lines(body)
    return [_ONE.decode(body)] if body.lstrip()[:1] == b"{" else _MANY.decode(body)


def _checked(wishes: Sequence[Wish], lines_of: bytes | None) -> Intake:
    """Check wishes that are of the right types; only where something is wrong is each looked at alone."""
    if len(wishes) > MOST_REQUESTS:
        return Intake(wrong=(Wrong(0, f"{len(wishes)} requests are more than {MOST_REQUESTS}"),))
    if _sound(wishes) and len({wish.record for wish in wishes}) == len(wishes):
        return Intake(tuple(wishes))
    numbers = range(1, len(wishes) + 1) if lines_of is None else [line for line, _ in _lines(lines_of)]
    return _gathered(zip(numbers, wishes, strict=True))


def _sound(wishes: Sequence[Wish]) -> bool:
    """Tell, at the price of a glance each, that `check` would pass all; False means: look closer."""
    if not all(map(is_environment, {wish.environment for wish in wishes})):
        return False
    if not _fits([wish.address for wish in wishes], MOST_ADDRESS):
        return False
    if not _fits([wish.record for wish in wishes], MOST_RECORD):
        return False
    for pick in (_dedups, _places):
        if not _fits(pick(wishes), MOST_RECORD):
            return False
    tagged = [wish.tags for wish in wishes if wish.tags]
    if not all(len(tags) <= MOST_TAGS for tags in tagged) or not _fits(
        list({t for s in tagged for t in s}), MOST_TAG
    ):
        return False
    if not all(map(_edges, {wish.thumbnails for wish in wishes})):
        return False
    if not all(priority in PRIORITIES for priority in {wish.priority for wish in wishes}):
        return False
    return all(_plain(wish) for wish in wishes)


def _dedups(wishes: Sequence[Wish]) -> list[str]:
    return [wish.dedup for wish in wishes if wish.dedup is not None]


def _places(wishes: Sequence[Wish]) -> list[str]:
    return [wish.place for wish in wishes if wish.place is not None]


def _fits(texts: list[str], most: int) -> bool:
    if not texts:
        return True
    together = "".join(texts)
    lengths = list(map(len, texts))
    if not min(lengths) or max(lengths) * (1 if together.isascii() else 4) > most:
        return False
    return together.isprintable()


def _edges(edges: tuple[int, ...]) -> bool:
    return len(edges) <= MOST_THUMBNAILS and all(LEAST_EDGE <= edge <= MOST_EDGE for edge in edges)


def _plain(wish: Wish) -> bool:
    """Tell the same of the times and the place on earth."""
    if (wish.deadline is not None and wish.deadline.tzinfo is None) or (
        wish.taken is not None and wish.taken.tzinfo is None
    ):
        return False
    if wish.latitude is None or wish.longitude is None:
        return wish.latitude is None and wish.longitude is None
    return -90 <= wish.latitude <= 90 and -180 <= wish.longitude <= 180


def _passes(wish: Wish) -> str | None:
    try:
        check(wish)
    except InputError as error:
        return str(error)
    return None


def _gathered(read_lines: Iterable[tuple[int, Wish | str]]) -> Intake:
    """Check line by line; a text stands for a line that could not be read, and says why."""
    wishes: list[Wish] = []
    wrong: list[Wrong] = []
    first: dict[str, int] = {}
    count = more = 0
    for line, wish in read_lines:
        count += 1
        what = wish if isinstance(wish, str) else _passes(wish)
        if what is None and not isinstance(wish, str):
            before = first.setdefault(wish.record, line)
            if before != line:
                what = f"record {wish.record!r} stands on line {before} already"
            else:
                wishes.append(wish)
        if what is None:
            continue
        if len(wrong) < MOST_TOLD:
            wrong.append(Wrong(line, _shown(what)))
        else:
            more += 1
    if count > MOST_REQUESTS:
        return Intake(wrong=(Wrong(0, f"{count} requests are more than {MOST_REQUESTS}"),))
    if not count:
        return Intake(wrong=(Wrong(0, "there is no request in it"),))
    return Intake(wrong=tuple(wrong), more=more) if wrong else Intake(tuple(wishes))


def _one_by_one(pieces: Iterable[tuple[int, bytes | msgspec.Raw | str]]) -> Intake:
    return _gathered((line, piece if isinstance(piece, str) else _decoded(piece)) for line, piece in pieces)


def _decoded(piece: bytes | msgspec.Raw) -> Wish | str:
    try:
        return _ONE.decode(piece)
    except (msgspec.MsgspecError, ValueError) as error:
        return _reason(error)
    except RecursionError:
        return "it is nested too deeply"


def _lines(body: bytes) -> Iterator[tuple[int, bytes]]:
    """Walk the lines that hold something, with their numbers from 1."""
    return ((number, line) for number, line in enumerate(body.split(b"\n"), 1) if line.strip(b" \t\r"))


def _items(body: bytes) -> Iterator[tuple[int, bytes | msgspec.Raw | str]]:
    if body.lstrip()[:1] == b"{":
        yield 1, body
        return
    try:
        raws = msgspec.json.decode(body, type=list[msgspec.Raw])
    except (msgspec.MsgspecError, ValueError) as error:
        yield _line_at(body, error), _reason(error)
        return
    except RecursionError:
        yield 0, "it is nested too deeply"
        return
    yield from enumerate(raws, 1)


def _line_at(body: bytes, error: Exception) -> int:
    """Return the line of the text on which decoding stopped; 0 where that is not known."""
    at = re.search(r"byte (\d+)", str(error))
    return body.count(b"\n", 0, int(at[1])) + 1 if at else 0


def _reason(error: Exception) -> str:
    if isinstance(error, UnicodeError):
        return "it is not UTF-8"
    text = str(error)
    if found := re.search(r"unknown field `(.*)`", text, re.DOTALL):
        return f"unknown field {found[1]!r}; {suggestion(found[1], _FIELDS)}"
    return text


def _shown(what: str) -> str:
    plain = "".join(letter if letter.isprintable() else "\ufffd" for letter in what[:_MOST_SHOWN])
    return plain + ("…" if len(what) > _MOST_SHOWN else "")


def _from_table(body: bytes) -> Intake:
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        line = body.count(b"\n", 0, error.start) + 1
        return Intake(wrong=(Wrong(line, "it is not UTF-8; save the table as UTF-8"),))
    head = text.partition("\n")[0]
    delimiter = ";" if head.count(";") > head.count(",") else ","
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        names = [name.strip().lower() for name in next(reader, [])]
    except csv.Error as error:
        return Intake(wrong=(Wrong(1, f"the header cannot be read: {error}"),))
    if what := _header_mistake(names):
        return Intake(wrong=(Wrong(1, _shown(what)),))
    rows: list[list[str]] = []
    numbers: list[int] = []
    try:
        for row in reader:
            if any(row):
                rows.append(row)
                numbers.append(reader.line_num)
                if len(rows) > MOST_REQUESTS:
                    return Intake(wrong=(Wrong(0, f"there are more than {MOST_REQUESTS} requests"),))
    except csv.Error as error:
        return Intake(wrong=(Wrong(reader.line_num, f"it cannot be read: {error}"),))
    return _from_rows(names, rows, numbers)


def _header_mistake(names: Sequence[str]) -> str:
    for name in names:
        if name not in _FIELDS:
            return f"unknown column {name!r}; {suggestion(name, _FIELDS)}"
        if names.count(name) > 1:
            return f"the column {name!r} stands there twice"
    missing = [name for name in _NEEDED if name not in names]
    return f"the column {missing[0]!r} is missing" if missing else ""


def _from_rows(names: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[int]) -> Intake:
    width = len(names)
    if rows and all(len(row) == width for row in rows):
        try:
            wishes = _by_columns(names, rows)
        except (msgspec.MsgspecError, ValueError):
            pass  # the way below tells where
        else:
            if _sound(wishes) and len({wish.record for wish in wishes}) == len(wishes):
                return Intake(tuple(wishes))
    return _gathered(
        (number, _of_row(names, row) if len(row) == width else f"it has {len(row)} cells, the header {width}")
        for number, row in zip(numbers, rows, strict=True)
    )


def _by_columns(names: Sequence[str], rows: Sequence[Sequence[str]]) -> list[Wish]:
    """Build wishes column by column, reading what stands there often only once."""
    at = {name: place for place, name in enumerate(names)}
    columns: list[Iterable[object]] = []
    for field in msgspec.structs.fields(Wish):
        if field.name not in at:
            columns.append(itertools.repeat(field.default))
            continue
        texts = [row[at[field.name]] for row in rows]
        if field.name in _NEEDED:
            columns.append(texts)
            continue
        known = {text: _cell(field.name, text, field.type) if text else field.default for text in set(texts)}
        columns.append([known[text] for text in texts])
    return [Wish(*values) for values in zip(*columns, strict=False)]


def _cell(name: str, text: str, kind: object) -> object:
    parts: object = [part.strip() for part in text.split("|")] if name in _LISTS else text
    return msgspec.convert(parts, kind, strict=False)


def _of_row(names: Sequence[str], row: Sequence[str]) -> Wish | str:
    cells: dict[str, object] = {name: text for name, text in zip(names, row, strict=True) if text}
    for name in _LISTS & cells.keys():
        cells[name] = [part.strip() for part in str(cells[name]).split("|")]
    try:
        return msgspec.convert(cells, Wish, strict=False)
    except (msgspec.MsgspecError, ValueError) as error:
        return _reason(error)
