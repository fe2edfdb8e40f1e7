"""The states of a request, as rows: each request is asked for, leased by an agent, and ends once."""

from __future__ import annotations

import enum

from isthmus.core.machine import Machine, Row


class State(enum.IntEnum):
    """Where a request stands. The numbers are stored: they never change."""

    QUEUED = 0
    WAITING = 1
    FOLLOWING = 2
    LEASED = 3
    PAUSED = 4
    DONE = 5
    FAILED = 6
    CANCELLED = 7
    EXPIRED = 8

    @property
    def word(self) -> str:
        """The name that the machine's rows, the API and the screens use."""
        return self.name.lower()


REQUESTS = Machine(
    "acquisition",
    "queued",
    [
        Row("queued", "claim", "leased", "an agent of its environment took it, under a new fence"),
        Row("queued", "follow", "following", "a live request has the same dedup key: one fetch serves both"),
        Row("leased", "settle", "done", "its image was checked, filed and made durable"),
        Row("leased", "fail", "failed", "trying again cannot help, or the attempts are used up"),
        Row("leased", "later", "waiting", "it failed in a way that may pass: its next try is due later"),
        Row("leased", "release", "queued", "the agent gave it back, or its lease ran out"),
        Row("leased", "hold", "paused", "its batch was paused meanwhile, and the try came to nothing"),
        Row("waiting", "due", "queued", "the time of its next try has come"),
        Row("queued", "settle", "done", "the image of a lease that ran out came late, and nobody took it since"),
        Row("waiting", "settle", "done", "as above"),
        Row("paused", "settle", "done", "as above"),
        Row("following", "settle", "done", "the request that it follows was settled"),
        Row("following", "fail", "failed", "the request that it follows failed"),
        Row("following", "lead", "queued", "the request that it follows was cancelled or expired"),
        Row("queued", "pause", "paused", "its batch was paused"),
        Row("waiting", "pause", "paused", "its batch was paused"),
        Row("paused", "resume", "queued", "its batch goes on"),
        Row("queued", "cancel", "cancelled", "its batch was cancelled"),
        Row("waiting", "cancel", "cancelled", "its batch was cancelled"),
        Row("following", "cancel", "cancelled", "its batch was cancelled"),
        Row("leased", "cancel", "cancelled", "its batch was cancelled; what the agent still sends is dropped"),
        Row("paused", "cancel", "cancelled", "its batch was cancelled"),
        Row("queued", "expire", "expired", "its deadline passed"),
        Row("waiting", "expire", "expired", "its deadline passed"),
        Row("paused", "expire", "expired", "its deadline passed"),
        Row("following", "expire", "expired", "its own deadline passed"),
        Row("leased", "expire", "expired", "its lease ran out after its deadline"),
        Row("failed", "retry", "queued", "somebody asked for what failed to be tried again"),
        Row("expired", "retry", "queued", "as above; the deadline no longer counts"),
    ],
)

LIVE = frozenset({State.QUEUED, State.WAITING, State.FOLLOWING, State.LEASED, State.PAUSED})
"""States that do not end by themselves a request's wait."""

ENDED = frozenset(State) - LIVE
