"""Why a bundle is not opened. What opens a bundle raises these and OSError, nothing else."""

from __future__ import annotations

from typing import ClassVar, Self

from isthmus.core.errors import Corrupt, IsthmusError, Refused


class _Told(IsthmusError):
    """An error that is told by where and why; what to do about it is the same each time."""

    remedy: ClassVar[str] = ""

    @classmethod
    def at(cls, where: object, why: str) -> Self:
        """Build the error for the file `where`."""
        return cls(f"{where}: {why}", cls.remedy)


class Truncated(_Told, Corrupt):
    """The file ends before the bundle does: it may still be growing, or was cut off on its way."""

    remedy = "wait for the rest, or have it sent again"


class Tampered(_Told, Corrupt):
    """The file is not what its signer made: changed on its way, or never a bundle."""

    remedy = "set it aside and have it sent again"


class TooLarge(_Told, Corrupt):
    """The file, or what it claims to hold, is larger than the limits of this site allow."""

    remedy = "raise the limits of this site if so much is expected"


class UnknownKey(_Told, Refused):
    """Signed by a key that is not allowed for this stream."""

    remedy = "allow the key for this stream if you know its owner"


class NewerFormat(_Told, Refused):
    """Made by a later release, in a format that this one cannot read."""

    remedy = "install that release here first"
