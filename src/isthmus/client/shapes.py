"""What a site tells of its operations, as types. What it tells of itself is in `views`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, Literal, TypeVar

import msgspec

from isthmus.app.works.work import Kind, Work
from isthmus.core.progress import Progress

T = TypeVar("T")


class Parameter(msgspec.Struct, frozen=True):
    """What an operation takes."""

    name: str
    kind: Kind
    about: str
    needed: bool
    many: bool
    default: str | int | float | bool | None
    choices: Sequence[str]
    least: float | None
    most: float | None


class Operation(msgspec.Struct, frozen=True):
    """Something that a site can be asked to do."""

    name: str
    path: str
    about: str
    role: str
    parameters: Sequence[Parameter]


class Event(msgspec.Struct, frozen=True):
    """What happened to a work, and how it stands. `id` is what one who comes back goes on after."""

    what: Literal["state", "progress", "said", "ended"]
    work: Work
    said: str = ""
    id: str = ""


class Page(msgspec.Struct, Generic[T], frozen=True):
    """A part of a list; `next` is empty where it is the last."""

    items: Sequence[T]
    next: str = ""


__all__ = ["Event", "Kind", "Operation", "Page", "Parameter", "Progress", "Work"]
