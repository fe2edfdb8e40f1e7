"""What becomes of outcomes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from msgspec.structs import replace

from isthmus.acquire.image import Filed
from isthmus.acquire.ports import Missed, Said, Settled
from isthmus.acquire.queue import moving
from isthmus.acquire.queue.rows import encode, micros
from isthmus.acquire.queue.work import Work, after
from isthmus.acquire.states import LIVE, State


def judge(request: moving.Standing | None, outcome: Settled | Missed) -> Said:
    """Tell whether an outcome counts. A miss counts once for each lease."""
    if request is None:
        return "over"
    if outcome.fence != request.fence or not request.fence:
        return "stale"
    if isinstance(outcome, Settled):
        if request.state is State.DONE:
            return "again"
        return "taken" if request.state in LIVE else "over"
    if request.missed == request.fence:
        return "again"
    return "taken" if request.state in LIVE else "over"


@dataclass(slots=True)
class _Outcomes:
    """Outcomes that count, by what they lead to."""

    done: list[tuple[moving.Standing, Filed]] = field(default_factory=list)
    failed: list[tuple[moving.Standing, Missed]] = field(default_factory=list)
    later: list[tuple[moving.Standing, Missed]] = field(default_factory=list)
    held: list[tuple[moving.Standing, Missed]] = field(default_factory=list)
    noted: list[tuple[moving.Standing, Missed]] = field(default_factory=list)

    def sort(self, request: moving.Standing, outcome: Settled | Missed, paused: bool) -> moving.Standing:
        """Put one outcome where it belongs; return the request as it stands then."""
        if isinstance(outcome, Settled):
            self.done.append((request, outcome.filed))
            return replace(request, state=after(request.state, "settle"))
        if request.state is not State.LEASED:
            self.noted.append((request, outcome))  # its lease ran out: it will be tried again anyway
            event = ""
        elif outcome.retry_s is None:
            self.failed.append((request, outcome))
            event = "fail"
        elif paused:
            self.held.append((request, outcome))
            event = "hold"
        else:
            self.later.append((request, outcome))
            event = "later"
        state = after(request.state, event) if event else request.state
        return replace(request, state=state, missed=request.fence)


def settle(work: Work, outcomes: Sequence[Settled | Missed], now: datetime) -> list[Said]:
    """Take outcomes, as `Ledger.settle` says."""
    numbers = work.listed({outcome.request for outcome in outcomes})
    requests = {r.number: r for r in moving.standing(work, f"number {work.among} ORDER BY number", [numbers])}
    missed = {outcome.request for outcome in outcomes if isinstance(outcome, Missed)}
    paused = moving.paused(work, [requests[number] for number in missed if number in requests])
    counted = _Outcomes()
    said: list[Said] = []
    for outcome in outcomes:
        request = requests.get(outcome.request)
        said.append(judge(request, outcome))
        if request is not None and said[-1] == "taken":
            requests[request.number] = counted.sort(request, outcome, request.batch in paused)
    at = micros(now)
    _note(work, [*counted.later, *counted.held, *counted.noted])
    _later(work, counted.later, now)
    if counted.held:
        moving.move(work, [request for request, _ in counted.held], "hold", at, ", due = NULL")
    moving.fail(work, [(request, outcome.failure) for request, outcome in counted.failed], at)
    _done(work, counted.done, at)
    return said


def _note(work: Work, missed: Sequence[tuple[moving.Standing, Missed]]) -> None:
    if not missed:
        return
    work.many(
        "UPDATE request SET failure = ?, kind = ?, missed = fence WHERE number = ?",
        [(encode(outcome.failure), outcome.failure.kind.value, request.number) for request, outcome in missed],
    )


def _later(work: Work, missed: Sequence[tuple[moving.Standing, Missed]], now: datetime) -> None:
    if not missed:
        return
    moving.move(work, [request for request, _ in missed], "later", micros(now))
    work.assign(
        "due",
        [(request.number, micros(now + timedelta(seconds=outcome.retry_s or 0.0))) for request, outcome in missed],
    )


def _done(work: Work, settled: Sequence[tuple[moving.Standing, Filed]], at: int) -> None:
    if not settled:
        return
    filed = {request.number: image for request, image in settled}
    whole = [(request, request.number) for request, _ in settled]
    followers = moving.following(work, [request for request, _ in settled])
    whole += [(follower, leader) for leader, follower in followers if follower.number not in filed]
    users = Counter(image for _, image in whole)
    moving.move(
        work,
        [request for request, _ in whole],
        "settle",
        at,
        ", due = NULL, failure = NULL, kind = NULL, image = ?, place = ?, taken = ?",
        own={request.number: (image, filed[image].place, _taken(filed[image])) for request, image in whole},
    )
    known = _known(work, [image.digest for image in filed.values()])
    work.add(
        "image",
        ("number", "digest", "size", "users", "at", "filed"),
        [(number, image.digest, image.size, users[number], at, encode(image)) for number, image in filed.items()],
    )
    new = {image.digest: image.size for image in filed.values() if image.digest not in known}
    if new:
        work.run("UPDATE counter SET bytes = bytes + ? WHERE id = 1", [sum(new.values())])
    for request, _ in whole:
        work.moves.images[request.batch] += 1
    moving.tell(work, [(request, image, None) for request, image in whole], "done", at)


def _taken(filed: Filed) -> int | None:
    return None if filed.taken is None else micros(filed.taken)


def _known(work: Work, digests: Sequence[str]) -> set[str]:
    if work.lock:  # nobody else adds or removes content meanwhile
        work.rows(f"SELECT event FROM counter WHERE id = 1{work.lock}")
    rows = work.rows(
        f"SELECT digest FROM image WHERE users > 0 AND digest {work.among}", [work.listed(sorted(set(digests)))]
    )
    return {digest for (digest,) in rows}
