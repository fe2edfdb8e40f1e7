"""The interface server, wired: what its doors open to. Everything heavy happens in threads or other processes."""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter, OrderedDict
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from blake3 import blake3

from isthmus.acquire.filing_port import Filing
from isthmus.acquire.ledger_port import Ledger
from isthmus.acquire.log import Say, silent
from isthmus.acquire.ports import Accepted, Asking, Event, Key
from isthmus.acquire.request import Wish
from isthmus.acquire.server import keys as making
from isthmus.acquire.server import metrics
from isthmus.acquire.server.claims import Claims
from isthmus.acquire.server.deliveries import Deliveries, incoming
from isthmus.acquire.server.hub import Hub
from isthmus.acquire.server.intake import Form, Intake, read
from isthmus.acquire.server.journal import Journal
from isthmus.acquire.server.keys import Keys, Ring, Sessions
from isthmus.acquire.server.settings import ServerSettings
from isthmus.acquire.server.threads import LedgerThreads
from isthmus.acquire.server.trust import Callbacks, Trust
from isthmus.core.errors import IsthmusError, UnknownName
from isthmus.core.ports import Clock
from isthmus.core.prometheus import exposition

STEPS = ("cancel", "pause", "resume", "retry")
_LEAST_REST_S, _REST_S, _MOST_REST_S = 0.02, 0.25, 1.0
_MOST_BATCHES = 10_000


class AcquireService:
    """One interface server. Start it and close it on the event loop that uses it.

    `secret` makes callbacks and sessions: servers that share it take each other's, and they outlive a restart;
    without one it is made anew at each start. Relative paths of the settings start from `folder`.
    """

    def __init__(
        self,
        ledger: Ledger,
        filing: Filing,
        settings: ServerSettings,
        clock: Clock,
        say: Say = silent,
        *,
        trust: Trust,
        folder: Path,
        secret: bytes = b"",
    ) -> None:
        self.ledger, self.filing, self.settings, self.clock, self.say = ledger, filing, settings, clock, say
        secret = secret or secrets.token_bytes(32)
        self.counts = metrics.Counts()
        self.threads = LedgerThreads(ledger)
        self.keys = Keys(ledger.keys)
        self._looking = asyncio.Lock()
        self.sessions = Sessions(secret, settings.session_s)
        callbacks = Callbacks(secret)
        self.claims = Claims(self.threads, settings, clock, callbacks, self.counts)
        self.deliveries = Deliveries(
            self.threads, filing, settings, clock, say, trust, callbacks, self.counts, self.claims.leases
        )
        self.deliveries.settled = self._settled
        self.hub = Hub(self.threads, self._saw, settings.poll_s)
        self.incoming = folder / settings.incoming
        self.journal = Journal(folder / settings.audit, clock)
        self.failure = ""
        self._made: OrderedDict[str, datetime] = OrderedDict()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Begin. Raises what the ledger and the disk raise."""
        incoming(self.incoming)
        await self.hub.start()
        self._tasks = [asyncio.create_task(self._sweep())]
        self.say("started", public_url=self.claims.public_url)

    async def end_waiting(self) -> None:
        """Let those go who wait for something, so that the server can end."""
        self.claims.close()
        await self.hub.stop()

    async def close(self) -> None:
        """End all. The ledger and the filing stay open: they belong to who made them."""
        await self.end_waiting()
        await self.deliveries.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.to_thread(self.threads.close)
        await asyncio.to_thread(self.journal.close)
        self.say("ended")

    async def ring(self) -> Ring:
        """Return the API keys that open something, at most some seconds old."""
        return self.keys.ring if self.keys.fresh else await self.threads.run(self.keys.refresh)

    async def key_of(self, text: str) -> Key | None:
        """Return the API key with this text; one that is new is known at once, whoever made it."""
        asked = self.keys.passed()
        key = (await self.ring()).of_text(text)
        if key is None and text.startswith(making.PREFIX):
            async with self._looking:
                if (rest_s := self.keys.news_in_s(asked)) is not None:
                    await asyncio.sleep(rest_s)
                    await self.threads.run(self.keys.refresh)
            key = self.keys.ring.of_text(text)
        return key

    async def read(self, body: bytes, form: Form) -> Intake:
        """Read what a client posted."""
        if len(body) < 1 << 14:
            return read(body, form)
        return await asyncio.to_thread(read, body, form)

    async def accept(
        self, key: Key, wishes: Sequence[Wish], body: bytes, *, label: str = "", once: str = "", trace: str = ""
    ) -> Accepted:
        """Make a batch of checked wishes, durably. Raises InputError for an Idempotency-Key with another body."""
        proof = blake3(once.encode()).hexdigest() if once else ""
        asking = Asking(key.name, trace, label, proof, blake3(body).hexdigest())
        now = self.clock.now()
        accepted = await self.threads.run_long(self.ledger.accept, asking, wishes, now)
        where = Counter(wish.environment for wish in wishes)
        if not accepted.again:
            self._note_made(accepted.batch, now)
            self.counts.accepted.update(where)
            self.claims.stir(where)
            self.hub.stir()
            detail = f"{accepted.requests} requests in {', '.join(sorted(where))}; trace {trace}"
            await self.journal.note(key.name, "ask", accepted.batch, detail)
        self.say("accepted", trace=trace, owner=key.name, batch=accepted.batch, requests=accepted.requests,
                 following=accepted.following, again=accepted.again)  # fmt: skip
        return accepted

    async def steer(self, key: Key, batch: str, step: str, requests: Sequence[int] = (), trace: str = "") -> int:
        """Cancel, pause, resume or retry a batch. Raises UnknownName where the key may not see it."""
        await self.own_batch(key, batch)
        now, ledger = self.clock.now(), self.ledger
        if step == "retry":
            count = await self.threads.run_long(ledger.retry, batch, requests, now)
        elif step in STEPS:
            work = {"cancel": ledger.cancel, "pause": ledger.pause, "resume": ledger.resume}[step]
            count = await self.threads.run_long(work, batch, now)
        else:
            raise UnknownName.among("step", step, STEPS)
        self.claims.stir()
        self.hub.stir()
        await self.journal.note(key.name, step, batch, f"{count} requests; trace {trace}")
        self.say(step, trace=trace, owner=key.name, batch=batch, changed=count)
        return count

    async def own_batch(self, key: Key, batch: str) -> None:
        """Raise UnknownName where a key may not see a batch, or there is none."""
        found = await self.threads.run(self.ledger.batch, batch)
        if (owner := self.sees(key)) and found.owner != owner:
            raise UnknownName(f"unknown batch {batch!r}", "see the list of batches")

    @staticmethod
    def sees(key: Key) -> str:
        """Return whose requests a key may see; empty: everybody's."""
        return key.name if key.role == making.CLIENT else ""

    async def make_key(self, by: str, name: str, role: str, environment: str = "") -> str:
        """Make an API key and return its text, which cannot be told again. Raises InputError."""
        text, key = making.make(name, role, environment, self.clock.now())
        await self.threads.run(self.ledger.put_key, key)
        self.keys.changed()
        await self.journal.note(by, "make key", name, f"{role} {environment}".rstrip())
        return text

    async def revoke_key(self, by: str, name: str) -> None:
        """Let a key open nothing any more, here from this moment on. Raises UnknownName."""
        await self.threads.run(self.ledger.revoke_key, name, self.clock.now())
        self.keys.changed(revoked=name)
        await self.journal.note(by, "revoke key", name)

    async def exposition(self) -> str:
        """Write the metrics."""
        now = self.clock.now()
        depths = await self.threads.run(self.ledger.depths, now)
        gauges = {"watchers": float(self.hub.watchers), "deliveries_at_work": float(self.deliveries.at_work)}
        return exposition(metrics.families(self.counts, depths, gauges, now))

    def healthy(self) -> tuple[bool, str]:
        """Tell whether the server can do its work, and what is wrong if not."""
        why = self.failure or self.hub.failure
        return not why, why

    def _settled(self) -> None:
        self.hub.stir()

    def _saw(self, events: Sequence[Event]) -> None:
        self.counts.saw(events, self._made)

    def _note_made(self, batch: str, at: datetime) -> None:
        self._made[batch] = at
        while len(self._made) > _MOST_BATCHES:
            self._made.popitem(last=False)

    async def _sweep(self) -> None:
        """Do what is due when it is due; never end."""
        rest_s = 0.0
        while True:
            await asyncio.sleep(rest_s)
            try:
                rest_s = await self._swept()
                self.failure = ""
            except (IsthmusError, OSError) as error:
                if str(error) != self.failure:
                    self.say("sweeping failed", level="error", error=str(error))
                self.failure, rest_s = str(error), _MOST_REST_S

    async def _swept(self) -> float:
        now = self.clock.now()
        due = await self.threads.run(self.ledger.next_due)
        if due is not None and due <= now:
            found = await self.threads.run_long(self.ledger.sweep, now, self.settings.most_attempts)
            if not any(found.values()):
                return _REST_S  # somebody else was faster
            self.claims.stir()
            self.hub.stir()
            self.say("swept", level="info", **found)
            return _LEAST_REST_S
        if due is None:
            return _MOST_REST_S
        return min(_MOST_REST_S, max(_LEAST_REST_S, (due - now).total_seconds()))
