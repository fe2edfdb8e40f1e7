"""How a filed image is named: a path made of what is known of it, under rules that no input can bend. No I/O.

1. Only these letters reach a path: a-z A-Z 0-9 . _ - ~ and the slash between parts. Every part begins with a
   letter or digit, does not end with a dot, has at most 255 bytes, and is no name that Windows keeps for itself.
2. A record id of a-z A-Z 0-9 . _ and - that begins with a letter or digit, does not end with a dot and has at most
   MOST_PLAIN letters is used as it is. Any other is written as well as it can be, then ~ and 20 hexadecimal digits
   of the BLAKE3 of the original. As ~ is in no plain id, and the record id is set apart by _ or . from other
   fields, which have neither, two different record ids never have the same path.
3. What is not known has the name unknown-place or unknown-time; equal neighbours become one part.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache

import msgspec
from blake3 import blake3

from isthmus.core.errors import InputError, suggestion

TEMPLATE = "{root}/{place}/{yyyymmdd}/{hh}/{environment}_{yyyymmddThhmmss}_{record-id}_{digest12}.{ext}"
UNKNOWN_PLACE, UNKNOWN_TIME = "unknown-place", "unknown-time"
MOST_PART, MOST_PATH = 255, 1024
MOST_PLAIN, MOST_CLEANED, _MARK = 80, 60, 20

EXTENSIONS = {"jpeg": "jpg", "png": "png", "webp": "webp"}

LONGEST = {
    "place": 60, "country": 13, "environment": 41, "record-id": MOST_CLEANED + 1 + _MARK, "digest12": 12,
    "digest": 64, "ext": 4, "yyyy": 12, "mm": 12, "dd": 12, "hh": 12, "yyyymmdd": 12, "yyyymmddThhmmss": 15,
}  # fmt: skip
"""The fields of a template, and how long each can be in bytes."""

_TIMES = {
    "yyyy": slice(0, 4), "mm": slice(4, 6), "dd": slice(6, 8), "hh": slice(9, 11), "yyyymmdd": slice(0, 8),
    "yyyymmddThhmmss": slice(0, 15),
}  # fmt: skip
"""Where a field lies in the text of a whole time."""
_NO_TIMES = dict.fromkeys(_TIMES, UNKNOWN_TIME)
_FIELD = re.compile(r"\{([^{}]*)\}")
_LITERAL = re.compile(r"[A-Za-z0-9._-]*")
_PLAIN = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9_-])?")
_WORD = re.compile(r"[a-z0-9][a-z0-9-]*")
_NO_WORD = re.compile(r"[^a-z0-9]+")
_OTHER = re.compile(r"[^A-Za-z0-9._-]+")
_RESERVED = frozenset(
    {"con", "prn", "aux", "nul", "conin$", "conout$"}
    | {f"{port}{n}" for port in ("com", "lpt") for n in range(10)}
)


class Known(msgspec.Struct, frozen=True):
    """What a name is made of. `place` is a slug or empty; `taken` is aware; `digest` has 64 hexadecimal digits."""

    environment: str
    record: str
    digest: str
    format: str
    place: str = ""
    country: str = ""
    taken: datetime | None = None


class Naming:
    """A template that was found good. Making one raises InputError; naming with it never does."""

    def __init__(self, template: str = TEMPLATE) -> None:
        """Take a template apart: from {root}/ to .{ext}, {record-id} and {digest12} between them."""
        if not template.startswith("{root}/"):
            raise _bad(template, "it begins with {root}/")
        parts = template.removeprefix("{root}/").split("/")
        self._parts = [_pieces(template, part) for part in parts]
        used = {value for part in self._parts for field, value in part if field}
        if "record-id" not in used or not used & {"digest12", "digest"}:
            raise _bad(template, "it holds {record-id} and {digest12}, so that no two images share a name")
        if not parts[-1].endswith(".{ext}"):
            raise _bad(template, "it ends with .{ext}")
        for part in self._parts:
            _set_apart(template, part)
        longest = [sum(LONGEST[value] if field else len(value) for field, value in part) for part in self._parts]
        if max(longest) > MOST_PART - 8 or sum(longest) + len(longest) > MOST_PATH:
            raise _bad(template, f"no part may have more than {MOST_PART} bytes, and all {MOST_PATH}")

    def path(self, known: Known) -> str:
        """Return the path of an image, relative to the root, with /."""
        fields = self._fields(known)
        named: list[str] = []
        for part in self._parts:
            text = _harmless("".join([fields[value] if field else value for field, value in part]))
            if not named or text != named[-1]:
                named.append(text)
        return "/".join(named)

    def _fields(self, known: Known) -> dict[str, str]:
        fields = dict(_times(known.taken.astimezone(UTC).replace(microsecond=0)) if known.taken else _NO_TIMES)
        fields["place"] = word(known.place, 60) if known.place else UNKNOWN_PLACE
        fields["country"] = known.country.lower() if _country(known.country) else UNKNOWN_PLACE
        fields["environment"] = word(known.environment, 40)
        fields["record-id"] = plain(known.record)
        fields["digest"] = word.__wrapped__(known.digest, 64)
        fields["digest12"] = fields["digest"][:12]
        fields["ext"] = EXTENSIONS[known.format]
        return fields


@lru_cache(1024)
def _times(taken: datetime) -> dict[str, str]:
    """Return the fields of a time in UTC."""
    text = taken.strftime("%Y%m%dT%H%M%S")
    return {name: text[cut] for name, cut in _TIMES.items()}


def plain(record: str) -> str:
    """Return a record id as it stands in a name, by rule 2."""
    if len(record) <= MOST_PLAIN and _PLAIN.fullmatch(record):
        return record
    return _marked(_OTHER.sub("-", record[:256]).strip("._-")[:MOST_CLEANED], record)


@lru_cache(4096)
def word(text: str, most: int) -> str:
    """Return a text of a-z, 0-9 and - as it is; any other as well as that can be, marked as in rule 2."""
    if len(text) <= most and _WORD.fullmatch(text):
        return text
    return _marked(_NO_WORD.sub("-", text[:256].lower()).strip("-")[:20], text)


def _marked(cleaned: str, original: str) -> str:
    mark = blake3(original.encode(errors="surrogatepass")).hexdigest()[:_MARK]
    return f"{cleaned or 'x'}~{mark}"


def _harmless(part: str) -> str:
    """Put a letter before a part that Windows keeps for itself or that does not begin with a letter or digit."""
    if not part[0].isalnum() or part.partition(".")[0].lower() in _RESERVED:
        return f"x~{part}"
    return part


def _country(code: str) -> bool:
    return len(code) == 2 and code.isascii() and code.isalpha()


def _pieces(template: str, part: str) -> list[tuple[bool, str]]:
    """Split one part of a template into its fields and the letters between them."""
    pieces: list[tuple[bool, str]] = []
    at = 0
    for found in _FIELD.finditer(part):
        pieces.append((False, part[at : found.start()]))
        if found[1] not in LONGEST:
            raise _bad(template, f"there is no field {{{found[1]}}}; {suggestion(found[1], LONGEST)}")
        pieces.append((True, found[1]))
        at = found.end()
    pieces.append((False, part[at:]))
    if not part or not all(field or _LITERAL.fullmatch(value) for field, value in pieces):
        raise _bad(template, "between its fields are only letters, digits, . _ and -, in parts that are not empty")
    if not any(field for field, _ in pieces) and not part[0].isalnum():
        raise _bad(template, f"the part {part!r} begins with a letter or digit")
    if part[-1] == ".":
        raise _bad(template, "no part ends with a dot")
    return [piece for piece in pieces if piece[1]]


def _set_apart(template: str, part: list[tuple[bool, str]]) -> None:
    """Refuse a record id that touches another field: nobody could tell where one ends."""
    for at, piece in enumerate(part):
        if piece == (True, "record-id"):
            before = at == 0 or (not part[at - 1][0] and part[at - 1][1][-1] in "_.")
            after = at == len(part) - 1 or (not part[at + 1][0] and part[at + 1][1][0] in "_.")
            if not (before and after):
                raise _bad(template, "{record-id} is set apart by _ or . from its neighbours")


def _bad(template: str, rule: str) -> InputError:
    return InputError(f"the path template {template!r} cannot be used", rule)
