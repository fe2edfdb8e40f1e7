"""What travels through the doors, as types. The OpenAPI page is made from these."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Literal, get_args

import msgspec

from isthmus.acquire.failure import Failure
from isthmus.acquire.image import Filed
from isthmus.acquire.ports import Depth, Held, Line, Verdict
from isthmus.acquire.request import Wish

Number = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]
StateWord = Literal["queued", "waiting", "following", "leased", "paused", "done", "failed", "cancelled", "expired"]

_ONE_STATE = f"({'|'.join(get_args(StateWord))})"
_STATES = f"^{_ONE_STATE}(,{_ONE_STATE})*$"


class Taken(msgspec.Struct, frozen=True):
    """A batch that is durable. `status` is the address of its door."""

    batch: str
    requests: int
    following: int
    again: bool
    status: str


class Changed(msgspec.Struct, frozen=True):
    """How many requests a step concerned."""

    changed: int


class Some(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which requests of a batch a step is for; none named: all."""

    requests: Annotated[list[Number], msgspec.Meta(max_length=100_000)] = []


class Shown(msgspec.Struct, frozen=True):
    """One request as it stands."""

    request: int
    batch: str
    owner: str
    state: StateWord
    attempts: int
    trace: str
    changed: datetime
    due: datetime | None
    wish: Wish
    filed: Filed | None
    failure: Failure | None


class AgentHeard(msgspec.Struct, frozen=True):
    """An agent, and when this server heard of it last."""

    agent: str
    heard: datetime


class EnvironmentShown(msgspec.Struct, frozen=True):
    """One environment: live requests by state, the age of the oldest queued one in seconds, its agents."""

    environment: str
    counts: Mapping[str, int]
    oldest_s: float
    agents: Sequence[AgentHeard]


class Me(msgspec.Struct, frozen=True):
    """Who asks."""

    name: str
    role: str
    environment: str = ""


class LogIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The API key with which a session begins."""

    key: Annotated[str, msgspec.Meta(max_length=256)]


class NewKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An API key to be made. An agent's is bound to its environment."""

    name: Annotated[str, msgspec.Meta(max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9._@-]*$")]
    role: Literal["client", "viewer", "operator", "agent"]
    environment: Annotated[str, msgspec.Meta(pattern=r"^([a-z0-9][a-z0-9-]{0,39})?$")] = ""


class MadeKey(msgspec.Struct, frozen=True):
    """A key that was made. Its text is told this once."""

    name: str
    role: str
    key: str
    environment: str = ""


class KeyShown(msgspec.Struct, frozen=True):
    """What is known of a key."""

    name: str
    role: str
    environment: str
    made: datetime | None
    revoked: datetime | None


class AuditShown(msgspec.Struct, frozen=True):
    """One act: who did what to which batch or key."""

    number: int
    at: datetime
    who: str
    act: str
    subject: str
    detail: str


class Health(msgspec.Struct, frozen=True):
    """Whether the server can do its work."""

    status: Literal["ok", "failing"]
    why: str = ""


AgentName = Annotated[str, msgspec.Meta(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9._@:-]+$")]
ManyHeld = Annotated[list[Held], msgspec.Meta(max_length=10_000)]


class Claim(msgspec.Struct, frozen=True):
    """An agent asks for tasks."""

    agent: AgentName
    most: Annotated[int, msgspec.Meta(ge=1, le=10_000)]
    wait_s: Annotated[float, msgspec.Meta(ge=0, le=300)] = 0.0


class Mine(msgspec.Struct, frozen=True):
    """An agent speaks of what it holds."""

    agent: AgentName
    held: ManyHeld


class Released(msgspec.Struct, frozen=True):
    """How many leases were given back."""

    released: int


class Verdicts(msgspec.Struct, frozen=True):
    """What became of a delivery's items, in their order."""

    verdicts: Sequence[Verdict]


class Asked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What goes with a batch. `label` is for people."""

    label: Annotated[str, msgspec.Meta(max_length=200)] = ""


class WhichBatches(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which batches: those made before batch `after`, newest first."""

    after: Annotated[str, msgspec.Meta(max_length=100)] = ""
    most: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 100


class WhichRequests(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which requests. `state` may name several, separated by commas; `after` is the last number seen."""

    batch: str = ""
    environment: str = ""
    state: Annotated[str, msgspec.Meta(max_length=200, pattern=_STATES)] = ""
    kind: str = ""
    place: str = ""
    tag: str = ""
    taken_from: datetime | None = None
    taken_until: datetime | None = None
    after: Number = 0
    most: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 100
    newest: bool = False


class WhichEvents(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which events: of a batch or of all, after a number or from now on."""

    batch: Annotated[str, msgspec.Meta(max_length=100)] = ""
    after: Number | None = None


class WhichActs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which acts: those after a number."""

    after: Number = 0
    most: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 100


class Edge(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The longest edge of a thumbnail in pixels."""

    edge: Annotated[int, msgspec.Meta(ge=32, le=2048)] = 256


def shown(line: Line) -> Shown:
    """Show a request."""
    return Shown(
        line.request,
        line.batch,
        line.owner,
        line.state.word,  # type: ignore[arg-type]
        line.attempts,
        line.trace,
        line.changed,
        line.due,
        line.wish,
        line.filed,
        line.failure,
    )


def environment_shown(depth: Depth, heard: Mapping[tuple[str, str], datetime]) -> EnvironmentShown:
    """Show an environment with its agents."""
    agents = [AgentHeard(agent, at) for (where, agent), at in sorted(heard.items()) if where == depth.environment]
    return EnvironmentShown(depth.environment, depth.counts, depth.oldest_s, agents)
