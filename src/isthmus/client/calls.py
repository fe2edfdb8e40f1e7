"""What both clients share, without I/O: where a site is, what a call looks like, and what an answer means."""

from __future__ import annotations

import os
import ssl
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Protocol, TypeVar
from urllib.parse import quote, urlsplit

import httpx
import msgspec

from isthmus.app.secrets import secret_of
from isthmus.client.errors import ApiError
from isthmus.client.shapes import Event, Work
from isthmus.core.errors import InputError
from isthmus.core.progress import Progress

T = TypeVar("T")
KEY = "ISTHMUS_KEY"
KEY_FILE = "ISTHMUS_KEY_FILE"
File = bytes | str | Path | tuple[str, bytes]
"""A file that goes along: where it lies, or what it holds, with its name where that matters."""


@dataclass(frozen=True, slots=True)
class Site:
    """Where a site is, and how it is asked. `timeout_s` bounds each answer, not the work that it is about.

    The key is `key`, or what `key_file` holds, or what ISTHMUS_KEY holds, or the file that ISTHMUS_KEY_FILE names.
    `ca` is a file of certificates to judge the server by. Plain HTTP goes to this machine alone, or by `insecure`.
    """

    url: str
    key: str = field(default="", repr=False)
    key_file: str | Path | None = None
    ca: str | Path | None = None
    timeout_s: float = 60.0
    insecure: bool = False

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
            raise InputError(f"{self.url!r} is no address of a site", "write one such as https://isthmus.example")
        if parts.path not in ("", "/") or parts.query or parts.fragment:
            raise InputError(f"{self.url!r} has more than a host and a port", "leave the rest out")
        if parts.scheme == "http" and not self.insecure and not _here(parts.hostname):
            raise InputError(f"{self.url} would send the key in plain text", "use https, or say insecure=True")

    def options(self) -> dict[str, Any]:
        """Return how httpx is set up. Raises InputError where the key's file is no text, OSError."""
        headers = {"accept": "application/json", "user-agent": "isthmus-client"}
        if key := self._key():
            headers["authorization"] = f"Bearer {key}"
        return {
            "base_url": self.url.rstrip("/"),
            "headers": headers,
            "timeout": httpx.Timeout(self.timeout_s, connect=10.0),
            "follow_redirects": False,  # a key goes to the host that it is for, and to no other
            "trust_env": False,
            "verify": ssl.create_default_context(cafile=str(self.ca)) if self.ca else True,
        }

    def _key(self) -> str:
        if self.key:
            return self.key.strip()
        if self.key_file is not None:
            return secret_of(Path(self.key_file), None)
        named = os.environ.get(KEY_FILE, "")
        return os.environ.get(KEY, "").strip() or (secret_of(Path(named), None) if named else "")


def _here(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def place(path: str) -> str:
    """Return a path of the site. Raises InputError for an address, which would lead elsewhere."""
    if not path.startswith("/") or path.startswith("//") or "\\" in path:
        raise InputError(f"{path!r} is no path of a site", "begin it with one slash, such as /v1/overview")
    return path


def inside(template: str, **parts: str) -> str:
    """Fill the places of a path, so that what stands in them cannot lead elsewhere. Raises InputError."""
    for name, text in parts.items():
        if not text or {".", ".."} & set(text.split("/")):
            raise InputError(f"{text!r} is no {name}", "give one that the site told")
    return template.format(
        **{name: quote(text, safe="/" if name == "file" else "") for name, text in parts.items()}
    )


def started(operation: str) -> str:
    """Return where an operation is begun."""
    return inside("/v1/operations/{operation}", operation=operation.replace(" ", "-"))


def asked(values: Mapping[str, Any]) -> dict[str, str]:
    """Write the parameters of a call; None is left out."""
    return {name: _text(value) for name, value in values.items() if value is not None}


def body(arguments: Mapping[str, Any], files: Mapping[str, File | Sequence[File]] | None) -> dict[str, Any]:
    """Write the arguments of an operation as httpx takes them: JSON, or a form where files go along."""
    given = {name.rstrip("_"): value for name, value in arguments.items() if value is not None}
    if not files:
        return {
            "content": msgspec.json.encode(given, enc_hook=str),
            "headers": {"content-type": "application/json"},
        }
    fields = {
        name: [_text(one) for one in value] if isinstance(value, list | tuple) else _text(value)
        for name, value in given.items()
    }
    parts = [(name, _file(name, one)) for name, several in files.items() for one in _several(several)]
    return {"data": fields, "files": parts}


def _several(files: File | Sequence[File]) -> Sequence[File]:
    return files if isinstance(files, list) else [files]  # type: ignore[list-item]


def _file(name: str, file: File) -> tuple[str, bytes]:
    if isinstance(file, bytes):
        return name, file
    if isinstance(file, tuple):
        return file
    path = Path(file)
    return path.name, path.read_bytes()


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.isoformat() if isinstance(value, date | datetime) else str(value)


def judged(answer: httpx.Response) -> httpx.Response:
    """Return a good answer. Raises ApiError for any other, its body read already."""
    if 200 <= answer.status_code < 300:
        return answer
    title, detail = f"HTTP {answer.status_code}", ""
    mistakes: tuple[str, ...] = ()
    if 300 <= answer.status_code < 400:
        detail = f"the site points to {answer.headers.get('location', 'elsewhere')}, where its key is not sent"
    if "json" in answer.headers.get("content-type", ""):
        try:
            found = msgspec.json.decode(answer.content, type=_Problem)
            title, detail = found.title or title, found.detail
            mistakes = tuple(one.what for one in found.lines)
        except msgspec.MsgspecError:
            pass
    raise ApiError(answer.status_code, title, detail, mistakes, _again(answer))


class _Line(msgspec.Struct):
    what: str = ""


class _Problem(msgspec.Struct):
    title: str = ""
    detail: str = ""
    lines: Sequence[_Line] = ()


def _again(answer: httpx.Response) -> float | None:
    if answer.status_code not in (429, 503):
        return None
    try:
        return max(0.0, float(answer.headers.get("retry-after", "1")))
    except ValueError:
        return 1.0


def unanswered(error: httpx.HTTPError, url: str) -> ApiError:
    """Say that no answer came."""
    why = str(error) or type(error).__name__
    return ApiError(0, f"no answer from {url}", why, again_s=1.0)


def decoded(content: bytes, kind: Any) -> Any:
    """Read an answer as a type. Raises ApiError where the site speaks of another release."""
    try:
        return msgspec.json.decode(content, type=kind)
    except msgspec.MsgspecError as error:
        raise ApiError(200, "the answer is of another release", str(error)) from error


class _Asked(Protocol):
    def get(self, path: str, kind: Any = Any, /, **parameters: Any) -> Any: ...

    def pages(self, path: str, kind: Any = Any, /, limit: int = 200, **parameters: Any) -> Iterator[Any]: ...


class _AsyncAsked(Protocol):
    async def get(self, path: str, kind: Any = Any, /, **parameters: Any) -> Any: ...

    def pages(self, path: str, kind: Any = Any, /, limit: int = 200, **parameters: Any) -> AsyncIterator[Any]: ...


class Sees:
    """What calls of one subject have in common: the client that they ask by."""

    def __init__(self, site: _Asked) -> None:
        self._site = site


class AsyncSees:
    """The same for asyncio."""

    def __init__(self, site: _AsyncAsked) -> None:
        self._site = site


class HowFar:
    """Tells how far a work is wherever that has changed: a work may end before anybody listens to its events."""

    def __init__(self, tell: Callable[[Progress], None] | None) -> None:
        self._tell = tell
        self._last: Progress | None = None

    def see(self, work: Work) -> None:
        """Take a work as it stands."""
        if self._tell and work.progress and work.progress != self._last:
            self._last = work.progress
            self._tell(work.progress)


class Blocks:
    """Reads text/event-stream (HTML Living Standard, 9.2.6) line by line."""

    def __init__(self) -> None:
        self._id, self._data = "", list[str]()

    def take(self, line: str) -> Iterator[Event]:
        """Take a line without its end; yields an event where it completes one. Raises ApiError."""
        if not line:
            data, self._data = "\n".join(self._data), []
            if data:
                event: Event = decoded(data.encode(), Event)
                yield msgspec.structs.replace(event, id=self._id)
            return
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name == "id" and "\0" not in value:
            self._id = value
