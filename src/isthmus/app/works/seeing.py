"""What someone sees of a work: what an operation tells may be a secret, such as a new key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from isthmus.app.people.person import Person, Role
from isthmus.app.works.work import Operation, Work


def called(person: Person) -> str:
    """Return who someone is in a work's `by`: a person by the name, a key as `key:NAME`."""
    return person.name if person.by == "session" else f"key:{person.name}"


def may_see(work: Work, operations: Mapping[str, Operation], person: Person) -> bool:
    """Tell whether someone sees all of a work: who began it and, unless it tells a secret, whoever could have."""
    operation = operations.get(work.operation)
    if called(person) == work.by:
        return True
    return not (operation and operation.secret) and person.may(operation.role if operation else Role.ADMIN)


def seen(work: Work, operations: Mapping[str, Operation], person: Person) -> Work:
    """Return a work as someone sees it: that it was run, by whom and how it ended, and the rest where they may."""
    if may_see(work, operations, person):
        return work
    return replace(
        work, arguments={}, command=f"isthmus {work.operation}", progress=None, said="", error="", files=()
    )
