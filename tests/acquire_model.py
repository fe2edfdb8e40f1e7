"""The ledger as a plain model: states, fences, leaders and events in dictionaries."""

from __future__ import annotations

from dataclasses import dataclass

from isthmus.acquire.failure import Kind
from isthmus.acquire.states import LIVE, State


@dataclass
class Asked:
    """One request as the model has it."""

    number: int
    batch: str
    environment: str
    dedup: str | None
    deadline: float | None
    state: State = State.QUEUED
    fence: int = 0
    attempts: int = 0
    missed: int = 0
    agent: str = ""
    due: float | None = None
    leader: int | None = None
    image: int | None = None
    kind: str | None = None


class Model:
    """What should be so."""

    def __init__(self) -> None:
        self.requests: dict[int, Asked] = {}
        self.paused: set[str] = set()
        self.events: list[tuple[str, int]] = []

    def of(self, batch: str, *states: State) -> list[Asked]:
        return [one for one in self.requests.values() if one.batch == batch and one.state in states]

    def leader(self, key: str) -> Asked | None:
        own = [one for one in self.requests.values() if one.dedup == key]
        done = [one for one in own if one.state is State.DONE and one.image is not None]
        live = [one for one in own if one.state in LIVE - {State.FOLLOWING}]
        return done[-1] if done else live[-1] if live else None

    def followers(self, leader: int) -> list[Asked]:
        return [one for one in self.requests.values() if one.leader == leader and one.state is State.FOLLOWING]

    def end(self, ended: list[Asked], state: State) -> None:
        for one in ended:
            one.state, one.due, one.agent = state, None, ""
            self.events.append((state.word, one.number))
        for one in ended:
            heir, *others = [*self.followers(one.number), None]
            if heir is not None:
                heir.state = State.PAUSED if heir.batch in self.paused else State.QUEUED
                heir.leader = None
                for other in filter(None, others):
                    other.leader = heir.number

    def fail(self, failed: list[Asked], kind: Kind) -> None:
        whole = [
            *failed,
            *sorted((f for one in failed for f in self.followers(one.number)), key=lambda f: f.number),
        ]
        for one in whole:
            one.state, one.due, one.agent = State.FAILED, None, ""
            one.missed, one.kind = one.fence, kind.value
            self.events.append(("failed", one.number))

    def done(self, settled: list[Asked]) -> None:
        numbers = {one.number for one in settled}
        led = [f for one in settled for f in self.followers(one.number) if f.number not in numbers]
        images = {one.number: one.number for one in settled}
        images |= {one.number: one.leader or 0 for one in led}
        for one in [*settled, *sorted(led, key=lambda f: f.number)]:
            one.state, one.due, one.agent, one.image, one.kind = State.DONE, None, "", images[one.number], None
            self.events.append(("done", one.number))
