"""What the interface server asks of whatever checks, names and stores the images that come."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from isthmus.acquire.failure import Failure
from isthmus.acquire.image import Arrived, Filed
from isthmus.acquire.ports import Line


class Filing(Protocol):
    """Checks, names and stores images. Called from one event loop; what is heavy happens in other processes."""

    async def file(self, arrived: Sequence[Arrived]) -> list[Filed | Failure]:
        """Check and store images, in the same order; each is durable, or a failure with its reason.

        Repeating a call is harmless: the same content stays stored once. A `content` that is a file belongs to the
        caller, who removes it when the call has returned; it may have been moved away by then.
        """
        ...

    async def thumbnail(self, filed: Filed, edge: int) -> Path:
        """Return the file of a JPEG whose longest edge is `edge` pixels at most, made where it is missing.

        Raises InputError where the image is gone or cannot be drawn, Busy where too many are being made.
        """
        ...

    async def remove(self, lines: Sequence[Line], contents: Sequence[str]) -> int:
        """Remove the paths of requests and the contents (digests) that nobody has any more; return bytes freed."""
        ...

    def path(self, filed: Filed) -> Path:
        """Return the absolute path of a filed image. Raises InputError where it would lie outside the root."""
        ...

    async def close(self) -> None:
        """Finish what is under way and end the workers."""
        ...
