"""What a publication is, and the two files that tell of them: `pub.list` and `fail_disaster_object.txt`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from isthmus.core.errors import InputError
from isthmus.recovery import sql
from isthmus.recovery.objects import Object, write_objects
from isthmus.state.files import replacing

PUB_LIST = "pub.list"
FAILED_LIST = "fail_disaster_object.txt"


@dataclass(frozen=True, slots=True)
class Publication:
    """A publication and the objects that it names, sorted."""

    name: str
    objects: tuple[Object, ...]

    def covers(self, table: str) -> bool:
        """Tell whether it names a table."""
        return any(item.covers(Object.parse(table)) for item in self.objects)


@dataclass(frozen=True, slots=True)
class Failure:
    """An object, or a table of one, that was not published, and why."""

    object: Object
    why: str


def write_pub_list(path: Path, publications: Iterable[Publication]) -> None:
    """Write publications as the statements that make them. Replaces the file whole."""
    with replacing(path) as file:
        for item in publications:
            file.write((sql.written(item.name, item.objects) + "\n").encode())


def read_pub_list(path: Path) -> list[Publication]:
    """Read what `write_pub_list` writes. Raises InputError where the file holds anything else or is not there."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"there is no list of publications at {path}: {error}", "correct the path") from error
    found = []
    for statement in sql.parse(text) if text.strip() else ():
        if not isinstance(statement, sql.Create):
            raise InputError(f"{path} has a statement that makes no publication", "write CREATE PUBLICATION alone")
        found.append(Publication(statement.name, tuple(sorted(statement.objects))))
    return found


def write_failures(path: Path, failures: Iterable[Failure]) -> None:
    """Write what failed as a list of objects, the reasons as remarks; without any the file is removed."""
    reasons: dict[Object, str] = {}
    for failure in failures:
        said = reasons.get(failure.object)
        reasons[failure.object] = f"{said}; {failure.why}" if said else failure.why
    if reasons:
        write_objects(path, sorted(reasons), reasons)
    else:
        path.unlink(missing_ok=True)
