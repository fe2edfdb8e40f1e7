"""What every page and every door of the server works with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from starlette.requests import HTTPConnection

from isthmus.app.people.person import Person, Role
from isthmus.app.works.happening import Take
from isthmus.app.works.work import Operation, Work
from isthmus.core.ports import Clock


class Guard(Protocol):
    """Knows who asks."""

    async def need(self, connection: HTTPConnection, role: Role = Role.VIEWER) -> Person:
        """Return who asks.

        Raises HTTPException 401 where nobody does, 403 where the role is not enough, or where a change that a
        cookie goes with lacks the session's token (header `x-csrf-token`, or the form field `csrf`).
        """
        ...

    def token(self, connection: HTTPConnection) -> str:
        """Return the token that changes of this session must bear; empty without a session."""
        ...


class Works(Protocol):
    """Runs operations. All calls are quick; the work goes on in processes of its own."""

    def operations(self) -> Mapping[str, Operation]:
        """Return every operation by its name."""
        ...

    def start(
        self, operation: str, arguments: Mapping[str, Any], by: Person, files: Mapping[str, bytes] | None = None
    ) -> Work:
        """Begin an operation. `files` are what its parameters of the kind `file in` name.

        Raises UnknownName, InputError for wrong arguments, Refused where the role is not enough, Busy where too
        much runs.
        """
        ...

    def get(self, id: str) -> Work:
        """Return a work as it stands. Raises UnknownName."""
        ...

    def latest(self, most: int = 50, before: str = "") -> Sequence[Work]:
        """List works, newest first; with `before` those that began before that one."""
        ...

    def cancel(self, id: str, by: Person) -> Work:
        """Ask a work to stop, as ctrl-C does. Raises UnknownName, Refused."""
        ...

    def file(self, id: str, name: str) -> Path:
        """Return where a file lies that a work wrote, or what it printed: stdout.txt. Raises UnknownName."""
        ...

    def secretly(self, id: str, name: str) -> bytes | None:
        """Return what a secret work printed, by `stdout.txt` or `stderr.txt`, while it is kept; else None."""
        ...

    def watch(self, take: Take, after: str = "") -> tuple[Callable[[], None], bool]:
        """Tell `take`, from any thread, what happens from now on, and what happened after the event `after`.

        Returns what ends it, and whether nothing was missed.
        """
        ...


@dataclass(frozen=True, slots=True)
class Hub:
    """The server's surroundings. `toml` is the site's own file, `sites` all those that it shows, its own first."""

    toml: Path
    sites: tuple[Path, ...]
    guard: Guard
    works: Works
    clock: Clock
    say: Callable[[str], None] = lambda text: None
    grave: frozenset[str] = frozenset()
    """Operations that a person confirms by typing a word before a page runs them."""
