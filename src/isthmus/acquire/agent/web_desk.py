"""The interface server over HTTP(S), as an agent sees it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar
from urllib.parse import urlsplit

import msgspec

from isthmus.acquire.agent.connection import Answer, Connection
from isthmus.acquire.agent.credential import Credential, origin
from isthmus.acquire.agent.refusal import Away, Unacceptable
from isthmus.acquire.delivery import signing
from isthmus.acquire.delivery.package import STANDARD, Caps, pack
from isthmus.acquire.ports import Claimed, Held, Parcel, Verdict
from isthmus.core.errors import InputError, Refused

T = TypeVar("T")

PATIENCE_S = 30.0
"""How long an answer may take beyond what was asked for."""
_UNACCEPTABLE = frozenset({400, 411, 413, 415, 422, 431})
_MOST_AFTER_S = 3600.0


class _Ask(msgspec.Struct, frozen=True):
    agent: str
    most: int
    wait_s: float


class _Mine(msgspec.Struct, frozen=True):
    agent: str
    held: Sequence[Held]


class _Verdicts(msgspec.Struct, frozen=True):
    verdicts: list[Verdict]


_ENCODER = msgspec.json.Encoder()
_CLAIMED = msgspec.json.Decoder(Claimed)
_LOST = msgspec.json.Decoder(list[Held])
_VERDICTS = msgspec.json.Decoder(_Verdicts)


def _utc() -> datetime:
    return datetime.now(UTC)


class WebDesk:
    """A `Desk` at a URL. Safe to use from many threads: each has connections of its own."""

    def __init__(
        self,
        credential: Credential,
        agent: str,
        *,
        caps: Caps = STANDARD,
        patience_s: float = PATIENCE_S,
        now: Callable[[], datetime] = _utc,
    ) -> None:
        """Nothing is connected yet. Raises InputError where the credential is not right."""
        self._agent, self._caps, self._patience_s, self._now = agent, caps, patience_s, now
        self._server = origin(credential.server)
        self._base = urlsplit(credential.server).path.rstrip("/")
        self._key, self._pin = credential.key, credential.pin
        self._context, self._signer = credential.context(), credential.signer()
        self._origins = credential.origins()
        self._own = threading.local()
        self._claiming: set[Connection] = set()
        self._lock = threading.Lock()
        self._interrupted = False

    def claim(self, most: int, wait_s: float) -> Claimed:
        """Ask for tasks; wait up to `wait_s` for the first."""
        connection = self._connection(self._server)
        with self._lock:
            self._claiming.add(connection)
            if self._interrupted:
                connection.end()
        try:
            answer = self._ask("claim", _Ask(self._agent, most, wait_s), wait_s)
        finally:
            with self._lock:
                self._claiming.discard(connection)
        claimed = _read(_CLAIMED, answer)
        if origin(claimed.callback) not in self._origins:
            raise Refused(
                f"the server wants results at {origin(claimed.callback) or 'no address'}",
                "its public address and the credential's must be the same, or be listed in deliver_to",
            )
        return claimed

    def beat(self, held: Sequence[Held]) -> list[Held]:
        """Say what is still being worked on; returns what is no longer wanted."""
        return _read(_LOST, self._ask("beat", _Mine(self._agent, held)))

    def release(self, held: Sequence[Held]) -> None:
        """Give back what will not be done."""
        self._ask("release", _Mine(self._agent, held))

    def deliver(self, callback: str, parcels: Sequence[Parcel]) -> list[Verdict]:
        """Hand results over.

        Raises also what `pack` raises, and Unacceptable for what the server will never take.
        """
        packed = pack(self._agent, parcels, self._caps)
        to = origin(callback)
        if to not in self._origins:
            raise Refused(f"results are not delivered to {to or 'no address'}", "claim anew")
        parts = urlsplit(callback)
        headers = {
            "content-type": "application/octet-stream",
            "accept": "application/json",
            **signing.headers(self._signer, packed.digest, self._now()),
        }
        path = parts.path or "/"
        answer = self._connection(to).post(
            f"{path}?{parts.query}" if parts.query else path,
            headers,
            packed.pieces,
            packed.file,
            size=packed.size,
            patience_s=self._patience_s,
        )
        _judge(answer, self._server)
        verdicts = _read(_VERDICTS, answer).verdicts
        if len(verdicts) != len(parcels):
            raise Away(f"{len(verdicts)} verdicts came for {len(parcels)} results", "look at the server's version")
        return verdicts

    def interrupt(self) -> None:
        """Break off a claim that waits, and every later one: the agent is stopping."""
        with self._lock:
            self._interrupted = True
            for connection in self._claiming:
                connection.end()

    def _ask(self, door: str, asked: msgspec.Struct, wait_s: float = 0.0) -> Answer:
        body = _ENCODER.encode(asked)
        headers = {
            "authorization": f"Bearer {self._key}",
            "content-type": "application/json",
            "accept": "application/json",
        }
        answer = self._connection(self._server).post(
            f"{self._base}/v1/agent/{door}",
            headers,
            (body,),
            size=len(body),
            patience_s=self._patience_s + wait_s,
        )
        _judge(answer, self._server)
        return answer

    def _connection(self, to: str) -> Connection:
        """Return this thread's connection to an origin."""
        mine: dict[str, Connection] = self._own.__dict__.setdefault("connections", {})
        if to not in mine:
            mine[to] = Connection(to, self._context if to.startswith("https:") else None, self._pin)
        return mine[to]


def _judge(answer: Answer, server: str) -> None:
    """Return where the answer is a good one. Raises Away, Refused or Unacceptable."""
    status = answer.status
    if status == 200:
        return
    said = f"{server} says {status}: {_detail(answer)}"
    if status in _UNACCEPTABLE:
        raise Unacceptable(said, "look at the versions of agent and server", status == 413)
    if status in (408, 425, 429) or status >= 500:
        raise Away(said, "the agent goes on by itself", _after_s(answer))
    hints = {401: "the agent's key is not known there", 403: "the agent's key is not allowed this"}
    raise Refused(said, hints.get(status, "see that the credential's address is the interface server's"))


def _detail(answer: Answer) -> str:
    """Return what problem details (RFC 9457) say, as one short line."""
    try:
        problem: Any = msgspec.json.decode(answer.body)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        problem = None
    told = (problem.get("detail") or problem.get("title") or "") if isinstance(problem, dict) else ""
    return " ".join(str(told).split())[:200] or "no reason given"


def _after_s(answer: Answer) -> float:
    text = answer.headers.get("retry-after", "")
    return min(float(text), _MOST_AFTER_S) if text.isdecimal() and len(text) < 9 else 0.0


def _read(decoder: msgspec.json.Decoder[T], answer: Answer) -> T:
    try:
        return decoder.decode(answer.body)
    except (msgspec.MsgspecError, UnicodeDecodeError, InputError) as error:
        raise Away(
            f"the server's answer cannot be read: {error}", "look at the versions of agent and server"
        ) from error
