"""Runs a site's turns while a server runs: on a thread of their own, with a site of their own.

What keeps the turns from their work is told by `failure`, which /health shows, and tried again until it goes.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from isthmus.app.recovery.config import RecoveryConfig
from isthmus.app.recovery.picture import opened, picture_of
from isthmus.app.recovery.site import RecoverySite
from isthmus.core.errors import Busy, IsthmusError
from isthmus.core.prometheus import Family, Sample
from isthmus.recovery.progress import to_json

Say = Callable[[str], None]

_PATIENCE_S = 20.0
"""So long the end waits for the turn that runs: what is cut off goes on with the next start."""
_LASTS_S = 30.0
"""So long a turn may wait for others until that is a failure."""
_LEAST_S, _MOST_S = 0.2, 5.0


class Turns:
    """The thread that takes turns."""

    def __init__(self, config: RecoveryConfig, say: Say) -> None:
        self._config, self.say = config, say
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="recovery", daemon=True)
        self.failure = self._waits = ""
        self._since, self._said = 0.0, False
        self.told: dict[str, Any] = {}
        self.counts: Counter[str] = Counter()

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End after the turn that runs, and wait for that, but not for long."""
        self._stopped.set()
        if self._thread.ident is not None:
            self._thread.join(_PATIENCE_S)

    def wait(self, seconds: float) -> bool:
        """Wait; tells whether the turns were stopped."""
        return self._stopped.wait(seconds)

    def metrics(self) -> Iterator[Family]:
        """Tell how the rounds stand."""
        told = self.told
        yield Family(
            "isthmus_recovery_role", "gauge", "1 for the role of this site.",
            [Sample({"role": told["role"]}, 1)] if told else [],
        )  # fmt: skip
        plain = (
            ("epoch", "Epoch of the tables.", told.get("epoch")),
            ("behind_seconds", "How much a failover would lose now.", told.get("behind_s")),
            ("alarms", "Alarms that are raised.", told.get("alarms")),
        )
        for name, about, value in plain:
            yield Family(f"isthmus_recovery_{name}", "gauge", about, [] if value is None else [Sample({}, value)])
        yield Family(
            "isthmus_recovery_turns_total", "counter", "Turns by how they ended.",
            [Sample({"how": how}, count) for how, count in sorted(self.counts.items())],
        )  # fmt: skip

    def _run(self) -> None:
        site: RecoverySite | None = None
        while not self._stopped.is_set():
            try:
                site = site or opened(self._config)
                for event in site.pair.turn():
                    self.say(event)
                self.told = _told(site)
                self.counts["well"] += 1
                self._healed()
            except Busy as error:  # a command of this site is at work, or something has to go out of the way
                self.counts["busy"] += 1
                self._waiting(str(error))
            except (IsthmusError, OSError) as error:
                self.counts["failed"] += 1
                self._failed(_in_words(error))
            except Exception as error:  # noqa: BLE001 - a mistake in the program must not end it unheard
                self.counts["failed"] += 1
                self._failed(f"unexpected {type(error).__name__}: {error}")
            self._stopped.wait(min(_MOST_S, max(_LEAST_S, self._config.recovery.restore_s)))
        if site is not None:
            site.close()

    def _waiting(self, why: str) -> None:
        """Tell what is waited for once it was met twice in a row; what lasts keeps the site from its work."""
        now = time.monotonic()
        if why != self._waits:
            self._waits, self._since, self._said = why, now, False
        elif not self._said:
            self.say(f"a turn waits: {why}")
            self._said = True
        elif now - self._since > _LASTS_S:
            self.failure = why

    def _failed(self, why: str) -> None:
        if why != self.failure:
            self.say(f"a turn failed: {why}")
        self.failure = why

    def _healed(self) -> None:
        if self.failure or (self._waits and self._said):
            self.say("the turns go on")
        self.failure = self._waits = ""


def _in_words(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror + (f": {error.filename}" if error.filename else "")
    return str(error) or type(error).__name__


def _told(site: RecoverySite) -> dict[str, Any]:
    picture, fence = picture_of(site), site.pair.fence
    behind = picture.behind
    alarms = (site.outbound if fence.role in ("primary", "yielding") else site.inbound).status().alarms
    return {
        "site": site.config.site.name,
        "role": fence.role,
        "epoch": fence.epoch,
        "shows": fence.barrier,
        "behind_s": None if behind is None else behind.total_seconds(),
        "alarms": len(alarms),
        "progress": to_json(picture, site.config.zone),
    }
