"""Deliveries: judged, filed, settled. What was answered is durable; what cannot be taken now stays with the agent.

1. Who: the callback's token names the environment, the signature proves a key of it; no byte of the body is read
   before. 2. What: the head is what was signed, the contents are what it says. 3. Whether: the fence is the
   newest and the request has not ended. 4. Filing checks and stores. 5. Outcomes of all deliveries that are there
   go to the ledger together.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from isthmus.acquire.delivery.package import Content, Package, Part
from isthmus.acquire.delivery.signing import Signed, verify
from isthmus.acquire.failure import Failure, Kind, next_try_s
from isthmus.acquire.filing_port import Filing
from isthmus.acquire.image import Arrived, Filed
from isthmus.acquire.log import Say
from isthmus.acquire.ports import Held, Hold, Line, Missed, Said, Settled, Verdict
from isthmus.acquire.server.claims import Leases
from isthmus.acquire.server.drawing import Drawing
from isthmus.acquire.server.gathering import Gathering
from isthmus.acquire.server.metrics import Counts
from isthmus.acquire.server.settings import ServerSettings
from isthmus.acquire.server.threads import LedgerThreads
from isthmus.acquire.server.trust import Callbacks, Trust
from isthmus.acquire.states import LIVE, State
from isthmus.core.errors import Busy, IsthmusError, Refused
from isthmus.core.ports import Clock

_HELD_S, _SETTLED_S = 0.01, 0.04
"""Reads and transactions for deliveries begin so far apart; the agent's lines bring others meanwhile."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who delivers, as far as it was proven before the body."""

    environment: str
    signed: Signed


class Deliveries:
    """Takes what agents bring. Belongs to the event loop."""

    def __init__(
        self,
        threads: LedgerThreads,
        filing: Filing,
        settings: ServerSettings,
        clock: Clock,
        say: Say,
        trust: Trust,
        callbacks: Callbacks,
        counts: Counts,
        leases: Leases,
    ) -> None:
        self._threads, self._filing, self._settings, self._clock = threads, filing, settings, clock
        self._say, self._trust, self._callbacks, self._counts = say, trust, callbacks, counts
        self._leases = leases
        self._holds: Gathering[Held, Hold | None] = Gathering(self._held, pause_s=_HELD_S)
        self._outcomes: Gathering[Settled | Missed, Said] = Gathering(self._settle, pause_s=_SETTLED_S)
        self._dice = random.Random()
        self._drawing = Drawing(filing, say)
        self.at_work = 0
        self.settled: Callable[[], None] = _nothing
        """Called after outcomes were taken: there are events now."""

    def caller(self, environments: Sequence[str], token: str, given: Mapping[str, str]) -> Caller:
        """Judge a delivery by its address and headers. Raises Refused, InputError where a key file is wrong."""
        right = [name for name in environments if self._callbacks.right(name, token)]
        if not right:
            raise Refused("there is no such callback", "claim anew: the answer names the right one")
        return Caller(right[0], verify(self._trust.checkers(right[0]), given, self._clock.now()))

    @contextlib.contextmanager
    def room(self) -> Iterator[None]:
        """Take one of the places for deliveries. Raises Busy where all are taken."""
        if self.at_work >= self._settings.deliveries_at_once:
            raise Busy("too many deliveries at once", "deliver it again a little later")
        self.at_work += 1
        try:
            yield
        finally:
            self.at_work -= 1

    async def take(self, caller: Caller, package: Package) -> list[Verdict]:
        """Answer for each part, in order. Raises Busy, OSError, Corrupt where the ledger is away."""
        where = caller.environment
        holds = await self._holds([Held(part.request, part.fence) for part in package.parts])
        verdicts: list[Verdict | None] = [_judged(hold, where) for hold in holds]
        outcomes: dict[int, Settled | Missed] = {}
        bring: list[tuple[int, Hold, Content]] = []
        for place, (part, hold) in enumerate(zip(package.parts, holds, strict=True)):
            if verdicts[place] is not None or hold is None:
                continue
            if isinstance(part.outcome, Content):
                bring.append((place, hold, part.outcome))
            elif hold.state is State.LEASED:
                outcomes[place] = self._missed(part, hold, part.outcome)
            else:
                verdicts[place] = "again"  # what came of this lease was noted when it ended
        filed = await self._file(where, bring)
        for (place, hold, _), outcome in zip(bring, filed, strict=True):
            part = package.parts[place]
            if isinstance(outcome, Filed):
                outcomes[place] = Settled(part.request, part.fence, outcome)
            elif outcome is None or outcome.kind is Kind.DISK:
                verdicts[place] = "later"
            elif hold.state is State.LEASED:
                outcomes[place] = self._missed(part, hold, outcome)
            else:
                verdicts[place] = "unfit"
        places = list(outcomes)
        for place, said in zip(places, await self._outcomes([outcomes[one] for one in places]), strict=True):
            verdicts[place] = _verdict(package.parts[place], outcomes[place], said)
            if said == "over":
                await self._drop(holds[place], outcomes[place])
        self._note_leases(where, package, verdicts)
        final: list[Verdict] = [verdict or "later" for verdict in verdicts]
        for place, hold, _ in bring:
            settled = outcomes.get(place)
            if hold.wish.thumbnails and final[place] == "filed" and isinstance(settled, Settled):
                self._drawing.want(settled.filed, hold.wish.thumbnails)
        self._tell(caller, package, outcomes, final)
        return final

    def _missed(self, part: Part, hold: Hold, failure: Failure) -> Missed:
        retry_s = next_try_s(failure, max(hold.attempts, 1), self._settings.most_attempts, self._dice.random())
        return Missed(part.request, part.fence, failure, retry_s)

    async def _file(
        self, environment: str, bring: Sequence[tuple[int, Hold, Content]]
    ) -> Sequence[Filed | Failure | None]:
        """File contents; None stands for what this server cannot take now."""
        if not bring:
            return []
        arrived = [
            Arrived(hold.request, environment, hold.wish, content.where, content.digest, content.told)
            for _, hold, content in bring
        ]
        try:
            return await self._filing.file(arrived)
        except (IsthmusError, OSError) as error:
            self._say("filing failed", level="error", environment=environment, error=str(error))
            return [None] * len(arrived)

    def _note_leases(self, environment: str, package: Package, verdicts: Sequence[Verdict | None]) -> None:
        """Count how long the leases ran that brought an image, and forget those that have ended."""
        ends: dict[Verdict | None, list[tuple[int, int]]] = {}
        for part, verdict in zip(package.parts, verdicts, strict=True):
            ends.setdefault(verdict, []).append((part.request, part.fence))
        if ran_s := self._leases.ended(ends.get("filed", ())):
            self._counts.leased(environment, *ran_s)
        self._leases.ended([*ends.get("noted", ()), *ends.get("unfit", ())])

    async def close(self) -> None:
        """Draw no more thumbnails ahead."""
        await self._drawing.close()

    async def _drop(self, hold: Hold | None, outcome: Settled | Missed) -> None:
        """Remove what was filed for a request that was cancelled meanwhile: it never comes back to life."""
        if hold is None or not isinstance(outcome, Settled):
            return
        ledger, filed = self._threads.ledger, outcome.filed
        line = await self._threads.run(ledger.line, hold.request)
        if line is None or line.state is not State.CANCELLED:
            return
        others = await self._threads.run(ledger.filed, filed.digest)
        gone = Line(
            hold.request,
            line.batch,
            line.owner,
            hold.wish,
            line.state,
            line.attempts,
            hold.trace,
            line.changed,
            filed=filed,
        )
        with contextlib.suppress(OSError):  # what is left is found by the next check of the folder
            await self._filing.remove([gone], [] if others else [filed.digest])

    def _tell(
        self,
        caller: Caller,
        package: Package,
        outcomes: Mapping[int, Settled | Missed],
        verdicts: Sequence[Verdict],
    ) -> None:
        where = caller.environment
        self._counts.heard[where, package.agent] = self._clock.now()
        self._counts.deliveries[where] += 1
        for place, verdict in enumerate(verdicts):
            self._counts.verdicts[where, verdict] += 1
            outcome = outcomes.get(place)
            if isinstance(outcome, Missed) and verdict in ("noted", "unfit"):
                self._counts.errors[where, outcome.failure.kind] += 1
        items = [
            {"request": part.request, "trace": part.trace, "verdict": verdict}
            for part, verdict in zip(package.parts, verdicts, strict=True)
        ]
        self._say("delivery", environment=where, agent=package.agent, id=caller.signed.id, items=items)

    async def _held(self, held: list[Held]) -> Sequence[Hold | None]:
        return await self._threads.run(self._threads.ledger.held, held)

    async def _settle(self, outcomes: list[Settled | Missed]) -> Sequence[Said]:
        said = await self._threads.run(self._threads.ledger.settle, outcomes, self._clock.now())
        self.settled()
        return said


def _nothing() -> None:
    """Nobody wants to know."""


def _verdict(part: Part, outcome: Settled | Missed, said: Said) -> Verdict:
    """Put into a word for the agent what the ledger said of an outcome."""
    if said != "taken":
        return said
    if isinstance(outcome, Settled):
        return "filed"
    return "noted" if isinstance(part.outcome, Failure) else "unfit"


def _judged(hold: Hold | None, environment: str) -> Verdict | None:
    """Tell at once what needs no filing; None where the outcome is wanted."""
    if hold is None or hold.environment != environment or not hold.ours:
        return "stale"
    if hold.state is State.DONE:
        return "again"
    return None if hold.state in LIVE else "over"


def incoming(folder: Path) -> None:
    """Make the folder for large contents, and remove what a process that died left there. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob("*.part"):
        left.unlink(missing_ok=True)
