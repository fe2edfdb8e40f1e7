"""Why a bundle is not opened. What opens a bundle raises these and OSError, nothing else."""

from __future__ import annotations

from isthmus.core.errors import Corrupt, Refused


class Truncated(Corrupt):
    """The file ends before the bundle does: it may still be growing, or was cut off on its way."""


class Tampered(Corrupt):
    """The file is not what its signer made: changed on its way, or never a bundle."""


class TooLarge(Corrupt):
    """The file, or what it claims to hold, is larger than the limits of this site allow."""


class UnknownKey(Refused):
    """Signed by a key that is not allowed for this stream."""


class NewerFormat(Refused):
    """Made by a later release, in a format that this one cannot read."""
