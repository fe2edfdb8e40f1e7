"""Tells what befell a disk or a network from what is wrong with a file: only the second is the file's fault."""

from __future__ import annotations

import errno

from isthmus.core.errors import SourceError

_PASSING = frozenset(
    {
        errno.EIO, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.EACCES, errno.EPERM, errno.ESTALE, errno.EBUSY,
        errno.ETIMEDOUT, errno.ENOTCONN, errno.ECONNRESET, errno.ECONNREFUSED, errno.ECONNABORTED, errno.EPIPE,
        errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENETDOWN, errno.ENETUNREACH, errno.ENODEV, errno.EAGAIN,
    }
)  # fmt: skip


def refuse_bad_weather(error: BaseException, where: str) -> None:
    """Raise SourceError where a read failed for a reason that is not in the file: the day is not ingested then.

    A reject in its place would let a file that was good yesterday replace its scenes by nothing.
    """
    if isinstance(error, OSError) and error.errno in _PASSING:
        raise SourceError(
            f"{where} could not be read: {error.strerror or error}",
            "nothing was changed; ingest the day again when disk, network and rights are well",
        ) from error
