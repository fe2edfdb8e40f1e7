"""Places as URIs: a bare path becomes a `file://` URI, and local ones are found again as paths."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import fsspec


def as_uri(place: str | Path) -> str:
    """Return the URI of a place; a bare path becomes an absolute `file://` URI."""
    text = str(place)
    if "://" in text:
        return text.rstrip("/")
    return Path(text).absolute().as_uri().rstrip("/")


def local_path(uri: str) -> Path | None:
    """Return the path that a `file://` URI names, or None for a URI of another kind."""
    parts = urlsplit(uri)
    return Path(unquote(parts.path)) if parts.scheme == "file" else None


def file_system(uri: str, storage_options: Mapping[str, str] | None = None) -> tuple[Any, str]:
    """Return fsspec's file system for a URI, and the path in it."""
    local = local_path(uri)
    if local is not None:
        return fsspec.filesystem("file"), str(local)
    files, path = fsspec.core.url_to_fs(uri, **_fsspec_options(uri, storage_options or {}))
    return files, str(path).rstrip("/")


def _fsspec_options(uri: str, options: Mapping[str, str]) -> dict[str, Any]:
    """Say Lance's storage options in the words of fsspec's driver for S3; other kinds take none."""
    if not uri.startswith("s3://"):
        return {}
    words = {
        "key": ("aws_access_key_id", "access_key_id"),
        "secret": ("aws_secret_access_key", "secret_access_key"),
        "token": ("aws_session_token", "session_token"),
        "endpoint_url": ("aws_endpoint", "endpoint", "aws_endpoint_url"),
    }
    lower = {key.lower(): value for key, value in options.items()}
    return {word: lower[name] for word, names in words.items() for name in names if name in lower}
