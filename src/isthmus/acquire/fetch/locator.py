"""Reads addresses so strictly that no two readers can take one for different things; without I/O.

An address is split here and put together again from its checked parts, and only that goes to an engine: no
credentials, no backslash, no control character, no odd spelling of an IP address survives. Text beyond ASCII is
percent-encoded in paths and IDNA-encoded in names.
"""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv6Address
from urllib.parse import quote, unquote_to_bytes

from isthmus.core.errors import InputError

USUAL_PORTS = {
    "http": 80,
    "https": 443,
    "dav": 80,
    "davs": 443,
    "webhdfs": 9870,
    "swebhdfs": 9871,
    "ftp": 21,
    "ftps": 990,
    "sftp": 22,
    "smb": 445,
    "s3": 443,
    "file": 0,
}
WIRES = {
    "http": "http",
    "https": "https",
    "dav": "http",
    "davs": "https",
    "webhdfs": "http",
    "swebhdfs": "https",
    "ftp": "ftp",
    "ftps": "ftps",
    "sftp": "sftp",
}
"""Schemes that the web engine gets, and what goes over the wire for each."""

_WHOLE = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,31})://([^/?#]*)([^#]*)(?:#.*)?", re.DOTALL)
_NAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*")
_NUMBER = re.compile(r"(?:0x[0-9a-f]*|[0-9]+)")
_SIX = re.compile(r"\[([0-9A-Fa-f:.]{2,45})(?:%25[A-Za-z0-9._-]{1,15})?\]")
_BEYOND = re.compile(r"[^\x21-\x7e]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\\]")
_SAFE = "!#$%&'()*+,/:;=?@[]~-._|^`{}<>\""


@dataclass(frozen=True, slots=True)
class Origin:
    """A server as an address names it: scheme and host in lower case, IP addresses in their plain spelling."""

    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        """Write it as people read it, without a usual port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == USUAL_PORTS.get(self.scheme, -1) else f":{self.port}"
        return f"{self.scheme}://{host}{port}"


def split(address: str) -> tuple[str, str, str]:
    """Split an address into scheme (lower case), authority as it stands, and path with query.

    Raises InputError where it is none.
    """
    found = _WHOLE.fullmatch(address)
    if found is None:
        raise InputError("the address has no form scheme://host/path")
    scheme, authority, rest = found.groups()
    if _BEYOND.search(rest):
        if _CONTROL.search(rest):
            raise InputError("the address has control characters")
        try:
            rest = quote(rest, safe=_SAFE)
        except UnicodeEncodeError as error:
            raise InputError("the address has characters that no encoding knows") from error
    elif "\\" in rest:
        raise InputError("the address has a backslash")
    if not rest.startswith("/"):
        rest = "/" + rest
    return scheme.lower(), authority, rest


def origin(scheme: str, authority: str) -> Origin:
    """Read the authority of an address. Raises InputError for anything but host or host:port."""
    if "@" in authority:
        raise InputError("the address carries credentials; they belong in the rules of the environment")
    if scheme == "file":
        if authority.lower() not in ("", "localhost"):
            raise InputError(f"a file address names no host, but this one names {authority[:60]!r}")
        return Origin("file", "", 0)
    host, port = _host_and_port(authority)
    usual = USUAL_PORTS.get(scheme)
    if port is None:
        if usual is None:
            raise InputError(f"addresses of {scheme} must name a port")
        port = usual
    return Origin(scheme, host, port)


def wire(origin: Origin, rest: str) -> str:
    """Return the URL that the web engine gets for a path of an origin; plain ASCII, from checked parts only."""
    kind = WIRES[origin.scheme]
    host = f"[{origin.host}]" if ":" in origin.host else origin.host
    if origin.scheme in ("webhdfs", "swebhdfs"):  # OPEN, as the WebHDFS REST API defines it
        path, _, query = rest.partition("?")
        rest = f"/webhdfs/v1{path}?{query + '&' if query else ''}op=OPEN"
    return f"{kind}://{host}:{origin.port}{rest}"


def canonical(rest: str) -> str:
    """Write path and query as S3 signs them (AWS Signature 4): percent-encoded but for A-Z a-z 0-9 - _ . ~."""
    path, mark, query = rest.partition("?")
    pairs = [
        "=".join(quote(unquote_to_bytes(side), safe="-_.~") for side in pair.split("=", 1))
        for pair in query.split("&")
    ]
    return quote(unquote_to_bytes(path), safe="/-_.~") + mark + "&".join(pairs)


def _host_and_port(authority: str) -> tuple[str, int | None]:
    if authority.startswith("["):
        six = _SIX.match(authority)
        if six is None:
            raise InputError(f"{authority[:60]!r} is no IPv6 address")
        tail = authority[six.end() :]
        try:
            host = str(IPv6Address(six[1]))
        except AddressValueError as error:
            raise InputError(f"{six[1]!r} is no IPv6 address") from error
        if tail and not tail.startswith(":"):
            raise InputError(f"{authority[:60]!r} is no host")
        return host, _port(tail[1:]) if tail else None
    host, colon, port = authority.partition(":")
    return _name(host), _port(port) if colon else None


def _port(text: str) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdigit()) or len(text) > 5 or not 1 <= int(text) <= 65535:
        raise InputError(f"{text[:20]!r} is no port")
    return int(text)


def _name(host: str) -> str:
    shown = host[:60]
    if not host.isascii():
        try:
            host = host.encode("idna").decode("ascii")
        except UnicodeError as error:
            raise InputError(f"{shown!r} is no host name") from error
    host = host.lower().removesuffix(".")
    if len(host) > 253 or _NAME.fullmatch(host) is None:
        raise InputError(f"{shown!r} is no host name")
    if _NUMBER.fullmatch(host.rpartition(".")[2]):  # a name never ends in a number: this is an IPv4 address
        try:
            return socket.inet_ntoa(socket.inet_aton(host))  # knows decimal, octal and hexadecimal spellings
        except OSError as error:
            raise InputError(f"{shown!r} is no IPv4 address") from error
    return host
