"""How a server says no: come later, or never with this."""

from __future__ import annotations

from isthmus.core.errors import Busy, Refused


class Away(Busy):
    """The server cannot be reached or asks for patience; `after_s` is what it asked for, in seconds."""

    def __init__(self, what: str, hint: str = "", after_s: float = 0.0) -> None:
        self.after_s = after_s
        super().__init__(what, hint)

    def __reduce__(self) -> tuple[type, tuple[str, str, float]]:  # type: ignore[override]
        return type(self), (self.what, self.hint, self.after_s)


class Unacceptable(Refused):
    """The server will never take this delivery as it is, whoever sends it; `too_large` where that is why."""

    def __init__(self, what: str, hint: str = "", too_large: bool = False) -> None:
        self.too_large = too_large
        super().__init__(what, hint)

    def __reduce__(self) -> tuple[type, tuple[str, str, bool]]:  # type: ignore[override]
        return type(self), (self.what, self.hint, self.too_large)
