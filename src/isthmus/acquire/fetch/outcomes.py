"""What an answer of a server, or a code of libcurl, means for a request; without I/O."""

from __future__ import annotations

from datetime import datetime
from http import HTTPStatus

from isthmus.acquire.failure import Failure, Kind
from isthmus.acquire.fetch.headers import Heads, patience_s

_CODES: dict[int, tuple[Kind, str]] = {
    1: (Kind.BAD_ADDRESS, "it does not speak the protocol of the address"),
    3: (Kind.BAD_ADDRESS, "the address cannot be read"),
    6: (Kind.UNREACHABLE, "the name does not resolve"),
    7: (Kind.UNREACHABLE, "no connection"),
    8: (Kind.CUT, "an answer that is none"),
    9: (Kind.GONE, "no such folder, or no right to enter it"),
    12: (Kind.TIMEOUT, "the data connection was not made in time"),
    13: (Kind.SERVER, "no passive connection is offered"),
    14: (Kind.SERVER, "no passive connection is offered"),
    18: (Kind.CUT, "the connection ended before the content did"),
    19: (Kind.GONE, "no such file"),
    28: (Kind.TIMEOUT, "too slow"),
    35: (Kind.TLS, "no secure connection"),
    43: (Kind.SERVER, "the request could not be made"),
    52: (Kind.CUT, "the connection ended without an answer"),
    53: (Kind.TLS, "no secure connection"),
    55: (Kind.CUT, "the connection broke"),
    56: (Kind.CUT, "the connection broke"),
    58: (Kind.TLS, "the client certificate cannot be used"),
    59: (Kind.TLS, "no secure connection"),
    60: (Kind.TLS, "the server's certificate or host key is not the right one"),
    61: (Kind.CUT, "the content is not packed as the server says"),
    63: (Kind.TOO_LARGE, "larger than allowed"),
    64: (Kind.TLS, "the server offers no secure connection"),
    66: (Kind.TLS, "no secure connection"),
    67: (Kind.DENIED, "user or password is not accepted"),
    77: (Kind.TLS, "the certificates to verify by cannot be read"),
    78: (Kind.GONE, "no such file"),
    79: (Kind.CUT, "the SSH session broke"),
    80: (Kind.TLS, "no secure connection"),
    82: (Kind.TLS, "no secure connection"),
    83: (Kind.TLS, "the server's certificate has another issuer"),
    90: (Kind.TLS, "the server's key is not the pinned one"),
    91: (Kind.TLS, "the server's certificate has no valid status"),
    94: (Kind.DENIED, "the credentials are not accepted"),
    98: (Kind.TLS, "the server asks for a client certificate"),
}
FINE = frozenset({200, 203})
"""Statuses whose content is what was asked for."""
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


def of_code(code: int, detail: str) -> Failure:
    """Turn an error of libcurl into a failure. `detail` is its message, shown where it says more about TLS."""
    kind, reason = _CODES.get(code, (Kind.CUT, f"the transfer failed (libcurl {code})"))
    if kind is Kind.TLS and detail:
        reason += f": {one_line(detail)}"
    return Failure(kind, reason)


def of_status(status: int, heads: Heads, now: datetime) -> Failure | None:
    """Turn an HTTP status into a failure; None for 200, whose content counts."""
    if status in FINE:
        return None
    try:
        phrase = f"answered {status} {HTTPStatus(status).phrase}"
    except ValueError:
        phrase = f"answered {status}"
    after = patience_s(heads, now)
    if status == 429 or (status == 503 and after is not None):
        return Failure(Kind.THROTTLED, phrase, after)
    if status in (204, 205, 404, 410):
        return Failure(Kind.GONE, phrase)
    if status == 408:
        return Failure(Kind.TIMEOUT, phrase)
    if 400 <= status < 500:
        return Failure(Kind.DENIED, phrase)
    if status < 500:  # 1xx, 206, 304, a redirect without Location: not what was asked for
        return Failure(Kind.SERVER if status else Kind.CUT, phrase if status else "an answer without a status")
    return Failure(Kind.SERVER, phrase, after)


def onward(status: int, heads: Heads) -> str:
    """Return where a redirect leads, as the server wrote it; empty where it is none."""
    if status not in _REDIRECTS:
        return ""
    location = heads.get(b"location", b"")[:4096]
    try:
        return location.decode("utf-8")
    except UnicodeDecodeError:
        return location.decode("latin-1")


def one_line(text: str) -> str:
    """Bring a message of somebody else into one short line."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())[:200]
