"""The carrier over an S3-type store: the objects right below a prefix are the files.

A store shows an object once all of it has come, so putting is whole or not at all. An upload in several parts that
is cut is given up; where not even that can be said, the store keeps parts that nobody sees until its own rule for
unfinished uploads removes them.
"""

from __future__ import annotations

import contextlib
import errno
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from isthmus.core.errors import InputError, MissingExtra, Refused
from isthmus.core.ports import Arrival

EXTRA = "recovery"

_PART = 8 << 20
"""Bytes of one part of an upload; the memory that a transfer takes is a few of these."""
_MOST_PARTS = 10_000
_AT_ONCE = 2
_TRIES = 2
_WAITS: Mapping[str, Any] = {
    "connect_timeout": 10,
    "read_timeout": 60,
    "retries": {"mode": "standard", "total_max_attempts": 2},
}


class S3Carrier:
    """A prefix of a bucket as a `core.ports.Carrier`; several threads may use it at a time.

    Besides OSError and FileNotFoundError, its calls raise Refused where the store does not accept who asks.
    """

    def __init__(self, uri: str, storage_options: Mapping[str, Any] | None = None) -> None:
        """Prepare `s3://<bucket>/<prefix>`; nothing is connected yet.

        `storage_options` are those of s3fs: `key`, `secret`, `endpoint_url`, `client_kwargs`, `config_kwargs`, …
        Raises MissingExtra, InputError.
        """
        try:
            import s3fs  # type: ignore[import-untyped]
            from botocore.exceptions import (  # type: ignore[import-untyped]
                BotoCoreError,
                ClientError,
                NoCredentialsError,
                PartialCredentialsError,
            )
        except ImportError as error:
            raise MissingExtra.named("access to S3-type stores (s3fs)", EXTRA) from error
        parts = urlsplit(uri)
        if parts.scheme != "s3" or not parts.netloc or "@" in parts.netloc or parts.query or parts.fragment:
            raise InputError("an S3-type store is told as s3://<bucket>/<prefix>", "correct the uri")
        self._uri, self._root = uri, f"{parts.netloc}/{parts.path.strip('/')}".rstrip("/")
        self._nobody, self._broken = (NoCredentialsError, PartialCredentialsError), (BotoCoreError, ClientError)
        options = dict(storage_options or {})
        waits = {**_WAITS, **options.pop("config_kwargs", {})}
        # never from the cache of instances: that one would keep the secret, and listings of long ago
        self._store: Any = s3fs.S3FileSystem(
            **options, config_kwargs=waits, use_listings_cache=False, skip_instance_cache=True
        )
        self._store.retries = _TRIES

    def __repr__(self) -> str:
        return f"S3Carrier({self._uri})"

    def put(self, name: str, file: Path) -> None:
        """Store a file as an object; the one that was there stays until then."""
        size = file.stat().st_size
        part = max(_PART, math.ceil(size / _MOST_PARTS))
        with self._told(name):
            self._store.put_file(str(file), self._path(name), chunksize=part, max_concurrency=_AT_ONCE)

    def names(self) -> list[str]:
        """List the objects right below the prefix, sorted; hidden ones are nobody's business."""
        with self._told(""):
            try:
                found = self._store.ls(self._root, detail=True, refresh=True)
            except FileNotFoundError:
                self._store.info(self._root.partition("/")[0])  # raises it again where there is no bucket
                found = []
        names = (one["name"].rpartition("/")[2] for one in found if one["type"] == "file")
        return sorted(name for name in names if name and not name.startswith("."))

    def look(self, name: str) -> Arrival:
        """Tell size and stamp; the stamp is the object's ETag and when it was written."""
        with self._told(name):
            found = self._store.info(self._path(name), refresh=True)
        if found["type"] != "file":
            raise FileNotFoundError(errno.ENOENT, "no object", name)
        return Arrival(int(found["size"]), f"{found['ETag']} {found['LastModified']}")

    def take(self, name: str, into: Path) -> int:
        """Fetch an object in pieces, and go on where a connection was cut."""
        with self._told(name):
            self._store.get_file(self._path(name), str(into), max_concurrency=1)
        return into.stat().st_size

    def drop(self, name: str) -> None:
        """Remove an object; nothing happens where it has gone."""
        with self._told(name), contextlib.suppress(FileNotFoundError):
            self._store.rm_file(self._path(name))

    def _path(self, name: str) -> str:
        if not name or "/" in name:
            raise InputError(f"{name[:80]!r} is no name of a file", "names have no slash")
        return f"{self._root}/{name}"

    @contextlib.contextmanager
    def _told(self, name: str) -> Iterator[None]:
        """Raise what an error of the store means to a sender or receiver."""
        try:
            yield
        except (PermissionError, *self._nobody) as error:
            raise Refused(
                f"the store of {self._uri} refuses who asks", "see key, secret and rights for the bucket"
            ) from error
        except FileNotFoundError as error:
            raise FileNotFoundError(errno.ENOENT, f"{self._uri} has no such object", name) from error
        except self._broken as error:
            raise OSError(errno.EIO, f"the store of {self._uri}: {str(error)[:200]}") from error
