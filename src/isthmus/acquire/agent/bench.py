"""What the threads of an agent share: what is in hand, how the server is reached, and who waits for what."""

from __future__ import annotations

import threading
from collections.abc import Callable

from isthmus.acquire.agent.holding import Holding
from isthmus.acquire.agent.settings import AgentSettings

Tick = Callable[[], float]
Dice = Callable[[], float]


class Reach:
    """Whether the server takes what is sent, and when to try again where it does not.

    Pauses double from the least to the longest, each shortened by up to a half (the dice), and are never shorter
    than the server asked for. While it is away one try at a time is made. Times in seconds of a clock that never
    jumps.
    """

    def __init__(self, settings: AgentSettings, dice: Dice) -> None:
        self._least, self._most, self._dice = settings.least_pause_s, settings.most_pause_s, dice
        self.since: float | None = None
        self.next_try = 0.0
        self._pause = 0.0
        self._trying = False

    def may(self, now: float) -> bool:
        """Tell whether something may be sent now."""
        return self.since is None or (now >= self.next_try and not self._trying)

    def begin(self) -> None:
        """Note that a try is made."""
        self._trying = self.since is not None

    def idle(self) -> None:
        """Note that nothing was tried after all."""
        self._trying = False

    def failed(self, now: float, after_s: float = 0.0) -> bool:
        """Note that it failed; return whether this is news. Tries that fail together count once."""
        news = self.since is None
        if news or self._trying:
            self._pause = min(self._most, max(self._least, 2 * self._pause))
            self.next_try = now + max(after_s, self._pause * (1 - self._dice() / 2))
        self.since = now if self.since is None else self.since
        self._trying = False
        return news

    def fine(self) -> bool:
        """Note that the server took something; return whether this is news."""
        news, self.since = self.since is not None, None
        self._pause, self._trying = 0.0, False
        return news

    def away_for(self, now: float) -> float:
        """Return for how long the server has been away; 0 where it is not."""
        return 0.0 if self.since is None else now - self.since


class Bench:
    """Everything here is changed under `lock` only; `results` and `need` are conditions of it.

    `refused` is true where the server does not take deliveries at the callback that is known. `claiming`
    while a claim is under way. `closing`: nothing new is begun. `finished`: nothing more is delivered.
    """

    def __init__(self, settings: AgentSettings, dice: Dice) -> None:
        self.holding = Holding(settings.gather_s)
        self.reach = Reach(settings, dice)
        self.lock = threading.Lock()
        self.results = threading.Condition(self.lock)
        self.need = threading.Condition(self.lock)
        self.callback = ""
        self.lease_s = 60.0
        self.refused = False
        self.claiming = False
        self.closing = False
        self.finished = False
        self.broken: BaseException | None = None

    def guarded(self, work: Callable[[], None]) -> Callable[[], None]:
        """Return `work` for a thread of its own: what it dies of ends the agent, by whoever looks at `broken`."""

        def run() -> None:
            try:
                work()
            except Exception as error:  # noqa: BLE001 - raised again where the agent runs
                with self.lock:
                    self.broken = self.broken or error
                    self.results.notify_all()
                    self.need.notify_all()

        return run
