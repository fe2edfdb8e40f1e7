"""Differences of documents as MongoDB writes them in updates with `$v: 2`, read once and applied in place.

    document  { d: {<field>: false, …}, u: {<field>: <value>, …}, i: {<field>: <value>, …},
                b: {<field>: {o: <offset>, d: <bytes>}, …}, s<field>: <difference>, … }
    array     { a: true, l: <length>, u<index>: <value>, …, s<index>: <difference>, … }

`d` removes a field; `u` gives it a value where it stands, or appends it where it is missing; `i` appends it, and
takes it away from where it stood; `b` keeps the first `o` bytes of a binary and puts `d` behind them; `s`
applies a difference to the document or array inside. An array is cut or filled with nulls to the length `l`; an
index beyond its end fills what is between with nulls. No field occurs twice, and no difference is empty.

A difference may meet a document that is newer than the one it was made of, when entries are applied again. Then,
as in MongoDB: a field that is missing stays so, a value of another kind becomes null, an index that an array
lacks becomes null. A later entry sets each of these right, because it was one that made them so.

(Form and rules after MongoDB's `document_diff_serialization.h` and `document_diff_applier.cpp`.)
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bson.binary import Binary
from bson.dbref import DBRef

from isthmus.gallery.oplog.entry import MOST_DEPTH, deeper_than
from isthmus.gallery.oplog.unusable import Unusable
from isthmus.gallery.record import Document

MOST_ELEMENTS = 1 << 21
"""No document of 16 MiB has arrays of more elements than this, all taken together."""

_INDEX = re.compile(r"0|[1-9][0-9]{0,6}")


@dataclass(frozen=True, slots=True)
class DocumentDifference:
    """What to do to a document."""

    deleted: tuple[str, ...] = ()
    updated: Mapping[str, Any] = field(default_factory=dict)
    inserted: Mapping[str, Any] = field(default_factory=dict)
    spliced: tuple[tuple[str, int, bytes], ...] = ()
    inner: tuple[tuple[str, DocumentDifference | ArrayDifference], ...] = ()


@dataclass(frozen=True, slots=True)
class ArrayDifference:
    """What to do to an array, by index in rising order; `length` is the one it has afterwards, where told."""

    length: int | None
    updated: tuple[tuple[int, Any], ...]
    inner: tuple[tuple[int, DocumentDifference | ArrayDifference], ...]


def read_difference(value: object) -> DocumentDifference:
    """Read the `diff` of an update. Raises Unusable where it is not as the grammar says."""
    return _document(value, "", 1, [MOST_ELEMENTS])


def apply_difference(difference: DocumentDifference, document: Document) -> None:
    """Change a document in place. Never fails, whatever the document holds."""
    for name in difference.deleted:
        document.pop(name, None)
    for name, inner in difference.inner:
        if name in document:
            document[name] = _changed(document[name], inner)
    for name, offset, tail in difference.spliced:
        if name in document:
            document[name] = _spliced(document[name], offset, tail)
    document.update(difference.updated)
    for name, value in difference.inserted.items():
        document.pop(name, None)
        document[name] = value


def _changed(value: Any, difference: DocumentDifference | ArrayDifference) -> Any:
    if isinstance(difference, ArrayDifference):
        if not isinstance(value, list):
            return None
        _change_array(value, difference)
        return value
    if isinstance(value, DBRef):  # a document that has $ref and $id
        value = dict(value.as_doc())
    if not isinstance(value, dict):
        return None
    apply_difference(difference, value)
    return value


def _change_array(array: list[Any], difference: ArrayDifference) -> None:
    if difference.length is not None:
        del array[difference.length :]
        array.extend([None] * (difference.length - len(array)))
    for index, inner in difference.inner:
        if index < len(array):
            array[index] = _changed(array[index], inner)
        else:
            array.extend([None] * (index + 1 - len(array)))
    for index, value in difference.updated:
        array.extend([None] * (index + 1 - len(array)))
        array[index] = value


def _spliced(value: Any, offset: int, tail: bytes) -> Any:
    if not isinstance(value, bytes):
        return None
    whole = bytes(value[:offset]) + tail
    return Binary(whole, value.subtype) if isinstance(value, Binary) else whole


def _document(value: object, at: str, level: int, left: list[int]) -> DocumentDifference:
    sections = _filled(value, at, level)
    seen: set[str] = set()
    parts: dict[str, Any] = {}
    inner: list[tuple[str, DocumentDifference | ArrayDifference]] = []
    for name, content in sections.items():
        if name in ("d", "u", "i", "b"):
            parts[name] = _section(content, at, name)
            names = parts[name].keys()
        elif name.startswith("s"):
            names = {name[1:]}
            inner.append((name[1:], _inner(content, f"{at}{name[1:]}.", level, left)))
        else:
            raise Unusable(f"its difference has an unknown section {name!r} at {at or 'the top'!r}")
        if twice := seen & names:
            raise Unusable(f"its difference changes {at + min(twice)!r} twice")
        seen |= names
    for content in (parts.get("u", {}), parts.get("i", {})):
        for name, new in content.items():
            _check_depth(new, f"{at}{name}", level)
    spliced = tuple(_splice(name, content, at) for name, content in parts.get("b", {}).items())
    return DocumentDifference(
        tuple(parts.get("d", ())), parts.get("u", {}), parts.get("i", {}), spliced, tuple(inner)
    )


def _inner(value: object, at: str, level: int, left: list[int]) -> DocumentDifference | ArrayDifference:
    if isinstance(value, dict) and "a" in value:
        return _array(value, at, level + 1, left)
    return _document(value, at, level + 1, left)


def _array(value: Document, at: str, level: int, left: list[int]) -> ArrayDifference:
    if _filled(value, at, level)["a"] is not True:
        raise Unusable(f"its difference of the array at {at!r} does not begin with a: true")
    length = value.get("l")
    if "l" in value and (not isinstance(length, int) or isinstance(length, bool) or length < 0):
        raise Unusable(f"its difference gives the array at {at!r} the length {length!r}")
    updated: dict[int, Any] = {}
    inner: dict[int, DocumentDifference | ArrayDifference] = {}
    for name, content in value.items():
        if name in ("a", "l"):
            continue
        kind, digits = name[:1], name[1:]
        if kind not in ("u", "s") or not _INDEX.fullmatch(digits):
            raise Unusable(f"its difference has an unknown part {name!r} of the array at {at!r}")
        index = int(digits)
        if index in updated or index in inner or (length is not None and index >= length):
            raise Unusable(f"its difference of the array at {at!r} cannot change the element {index}")
        if kind == "u":
            _check_depth(content, f"{at}{index}", level)
            updated[index] = content
        else:
            inner[index] = _inner(content, f"{at}{index}.", level, left)
    left[0] -= max([length or 0, *(index + 1 for index in (*updated, *inner))])
    if left[0] < 0:
        raise Unusable(f"its difference makes arrays of more than {MOST_ELEMENTS} elements")
    return ArrayDifference(length, tuple(_by_index(updated)), tuple(_by_index(inner)))


def _by_index(parts: dict[int, Any]) -> list[tuple[int, Any]]:
    return sorted(parts.items(), key=lambda part: part[0])


def _filled(value: object, at: str, level: int) -> Document:
    if not isinstance(value, dict) or not value:
        raise Unusable(f"its difference at {at or 'the top'!r} is {'empty' if value == {} else 'no document'}")
    if level > MOST_DEPTH:
        raise Unusable(f"its difference is nested deeper than {MOST_DEPTH} levels")
    return value


def _section(content: object, at: str, name: str) -> Document:
    if not isinstance(content, dict):
        raise Unusable(f"the section {name!r} of its difference at {at or 'the top'!r} is no document")
    return content


def _splice(name: str, content: object, at: str) -> tuple[str, int, bytes]:
    offset = content.get("o") if isinstance(content, dict) else None
    tail = content.get("d") if isinstance(content, dict) else None
    if not isinstance(offset, int) or isinstance(offset, bool) or offset < 0 or not isinstance(tail, bytes):
        raise Unusable(f"its difference of the binary {at + name!r} has no offset and bytes")
    return name, offset, bytes(tail)


def _check_depth(value: object, at: str, level: int) -> None:
    if isinstance(value, (dict, list)) and deeper_than(value, MOST_DEPTH - level):
        raise Unusable(f"its difference nests {at!r} deeper than {MOST_DEPTH} levels")
