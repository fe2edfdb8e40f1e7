"""Rounds at a gate, done again and again until somebody says stop; what keeps one from its work is said once."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable

from isthmus.acquire.gate.outpost import Outpost
from isthmus.acquire.log import Say
from isthmus.app.acquiring.gates import GateSite
from isthmus.app.acquiring.gateside import GateSide
from isthmus.core.errors import IsthmusError
from isthmus.state.store import Store

_JOIN_S = 20.0


def rounds(
    act: Callable[[], None], pause_s: float, stop: threading.Event, say: Say, *, closing: bool = False
) -> None:
    """Act every `pause_s` seconds until `stop` is set; once more then with `closing`. Errors are tried again."""
    failure = ""
    while True:
        ending = stop.is_set()
        if ending and not closing:
            return
        try:
            act()
        except (IsthmusError, OSError) as error:
            why = str(error) or type(error).__name__
        except Exception as error:  # noqa: BLE001 - a mistake in the program must not end it unheard
            why = f"unexpected {type(error).__name__}: {error}"
        else:
            why = ""
        if why != failure:
            say("rounds go on" if not why else "round fails", level="error" if why else "info", error=why)
        failure = why
        if ending:
            return
        stop.wait(pause_s)


class OutpostRounds:
    """Carries an agent's bundles on a thread of its own: SQLite connections never cross threads."""

    def __init__(self, site: GateSite, say: Say) -> None:
        """Raises InputError where keys are missing. Nothing runs yet."""
        site.signing_key()
        site.trusted()
        self._site, self._say = site, say
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="gate", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End after one more round, which sends what was handed over last."""
        self._stop.set()
        self._thread.join(_JOIN_S)

    def _run(self) -> None:
        site, say = self._site, self._say
        with contextlib.ExitStack() as held:
            wired: tuple[Outpost, GateSide] | None = None

            def act() -> None:
                nonlocal wired
                if wired is None:
                    store = held.enter_context(Store(site.state))
                    outpost = Outpost(store, site.environment, site.part.bounds)
                    wired = outpost, GateSide(site, store, outpost.results, outpost.tasks)
                outpost, side = wired
                outpost.round(lambda: side.receive(say), lambda: side.send(say))

            rounds(act, site.part.poll_s, self._stop, say, closing=True)
