"""What goes wrong when a site is asked: an answer that is a problem, or none at all."""

from __future__ import annotations

from collections.abc import Sequence

from isthmus.app.works.work import Work
from isthmus.core.errors import IsthmusError


class ApiError(IsthmusError):
    """The site answered with a problem (RFC 9457). `status` is HTTP's; 0 where no answer came at all.

    `mistakes` are the lines of what was wrong in the arguments. `again_s` is after how many seconds a retry can
    help; None where it cannot.
    """

    def __init__(
        self, status: int, title: str, detail: str = "", mistakes: Sequence[str] = (), again_s: float | None = None
    ) -> None:
        self.status, self.title, self.detail = status, title, detail
        self.mistakes, self.again_s = tuple(mistakes), again_s
        super().__init__(f"{title}: {detail}" if detail else title)

    def __reduce__(self) -> tuple[type, tuple[int, str, str, tuple[str, ...], float | None]]:  # type: ignore[override]
        return type(self), (self.status, self.title, self.detail, self.mistakes, self.again_s)


class OperationFailed(IsthmusError):
    """An operation was run and did not end well; `work` says how it ended."""

    def __init__(self, work: Work) -> None:
        self.work = work
        super().__init__(f"{work.operation} {work.state}: {work.error or work.said}".rstrip(": "))

    def __reduce__(self) -> tuple[type, tuple[Work]]:  # type: ignore[override]
        return type(self), (self.work,)
