"""Updates that name paths: `$set` and `$unset`, as the oplog had them before `$v: 2` (`$v: 1`, or no `$v`).

A path's parts are field names, or indices where they meet an array. `$set` makes the documents that are missing
on its way and fills an array with nulls up to its index; `$unset` removes a field and turns an element into
null. Where a path leads through something that is neither document nor array, or names a field of an array,
nothing happens, as when MongoDB applies its own oplog: such an update is being applied again, and a later one
overwrites the place.

Applying such updates again may leave the fields of a document in another order: `$set` keeps the place of a field
that is there already. This is so in MongoDB too and is why `$v: 2` exists.
"""

from __future__ import annotations

import copy
import re
from dataclasses import dataclass
from typing import Any

from bson.dbref import DBRef

from isthmus.gallery.oplog.entry import MOST_DEPTH, deeper_than
from isthmus.gallery.oplog.unusable import Unusable
from isthmus.gallery.record import Document

MOST_FILLED = 1_500_000
"""MongoDB's bound on how many nulls one update fills an array with."""

_INDEX = re.compile(r"0|[1-9][0-9]{0,8}")


@dataclass(frozen=True, slots=True)
class Step:
    """One path and its new value, or its removal."""

    path: tuple[str, ...]
    unset: bool
    value: Any = None


def read_modifiers(update: Document) -> tuple[Step, ...]:
    """Read the `o` of an update. Raises Unusable on an operator that no oplog has, or a path that is none."""
    if update.get("$v", 1) != 1:
        raise Unusable(f"updates of version {str(update['$v'])[:20]!r} are not known here")
    steps: list[Step] = []
    for operator, content in update.items():
        if operator == "$v":
            continue
        if operator not in ("$set", "$unset"):
            raise Unusable(f"its operator {operator!r} is not one of an oplog's: $set and $unset")
        if not isinstance(content, dict):
            raise Unusable(f"its {operator} is no document")
        unset = operator == "$unset"
        for path, value in content.items():
            parts = tuple(path.split("."))
            if "" in parts:
                raise Unusable(f"its {operator} names no field: {path[:80]!r}")
            if len(parts) > MOST_DEPTH or (not unset and deeper_than(value, MOST_DEPTH - len(parts))):
                raise Unusable(f"its {operator} nests {path[:80]!r} deeper than {MOST_DEPTH} levels")
            steps.append(Step(parts, unset, None if unset else value))
    return tuple(steps)


def apply_modifiers(steps: tuple[Step, ...], document: Document) -> None:
    """Change a document in place. Raises Unusable where arrays would have to be filled with too many nulls."""
    left = MOST_FILLED
    for step in steps:
        if step.unset:
            _unset(document, step.path)
        else:
            left -= _set(document, step.path, step.value, left)


def _set(document: Document, path: tuple[str, ...], value: Any, left: int) -> int:
    """Set the value and return how many nulls were filled in."""
    holder: Any = document
    for place, part in enumerate(path):
        rest = path[place + 1 :]
        if isinstance(holder, dict):
            if not rest or part not in holder:
                holder[part] = _nested(rest, value)
                return 0
            holder[part] = holder = _opened(holder[part])
        elif isinstance(holder, list) and _INDEX.fullmatch(part):
            index = int(part)
            missing = index - len(holder)
            if missing > left:
                raise Unusable(f"it would fill an array with {missing} nulls")
            if missing >= 0:
                holder.extend([None] * missing)
                holder.append(_nested(rest, value))
                return missing
            if not rest:
                holder[index] = _nested(rest, value)
                return 0
            holder[index] = holder = _opened(holder[index])
        else:
            return 0
    return 0


def _unset(document: Document, path: tuple[str, ...]) -> None:
    holder: Any = document
    for part in path[:-1]:
        if isinstance(holder, dict) and part in holder:
            holder[part] = holder = _opened(holder[part])
        elif isinstance(holder, list) and _INDEX.fullmatch(part) and int(part) < len(holder):
            holder[int(part)] = holder = _opened(holder[int(part)])
        else:
            return
    last = path[-1]
    if isinstance(holder, dict):
        holder.pop(last, None)
    elif isinstance(holder, list) and _INDEX.fullmatch(last) and int(last) < len(holder):
        holder[int(last)] = None


def _opened(value: Any) -> Any:
    return dict(value.as_doc()) if isinstance(value, DBRef) else value  # a document that has $ref and $id


def _nested(path: tuple[str, ...], value: Any) -> Any:
    # an entry's own value is copied: a later step may reach into it, and the entry may be applied again
    nested = copy.deepcopy(value) if isinstance(value, (dict, list)) else value
    for part in reversed(path):
        nested = {part: nested}
    return nested
