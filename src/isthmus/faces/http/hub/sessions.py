"""The people of a site, for an event loop: the file in one thread, the slow hashing of passwords in two others."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from isthmus.app.people.access import Access, Wait
from isthmus.app.people.passwords import Passwords
from isthmus.app.people.person import Role
from isthmus.app.people.rules import Lasting, judge_password, name_of
from isthmus.app.people.trail import Actor
from isthmus.core.errors import Busy, Refused
from isthmus.core.ports import Clock

T = TypeVar("T")
_HASHERS = 2
_MOST_HASHING = 16
"""So many passwords wait to be hashed; each takes 64 MiB while it is, so they are not all hashed at once."""


class Desk:
    """Asks one site's people file. Its methods may be called from any event loop."""

    def __init__(
        self,
        file: Path,
        clock: Clock,
        lasting: Lasting | None = None,
        passwords: Callable[[], Passwords] = Passwords,
    ) -> None:
        """Prepare; the file is opened when it is first asked, in its own thread."""
        self._file, self._clock, self._lasting = file, clock, lasting
        self._make, self._lock = passwords, threading.Lock()
        self._access: Access | None = None
        self._passwords: Passwords | None = None
        self._filing = ThreadPoolExecutor(1, "people")
        self._hashing = ThreadPoolExecutor(_HASHERS, "passwords")
        self._at_it = 0

    async def ask(self, act: Callable[[Access], T]) -> T:
        """Do something with the file, in its thread; raises what that raises."""

        def do() -> T:
            if self._access is None:
                self._access = Access(self._file, self._clock, self._lasting)
            return act(self._access)

        return await asyncio.get_running_loop().run_in_executor(self._filing, do)

    async def log_in(self, name: str, password: str, where: str, before: str = "") -> str | Wait:
        """Return the token of a new session, empty where name and password do not fit, or how long to wait.

        `before` is the token that the browser held: its session ends. Raises Busy where too many log in at once.
        """
        trial = await self.ask(lambda access: access.begin(name, where))
        if isinstance(trial, Wait):
            return trial
        fits, anew = await self._hash(lambda passwords: _tried(passwords, trial.stored, password))
        return await self.ask(lambda access: access.conclude(trial, fits, anew, before))

    async def log_out(self, token: str, where: str) -> None:
        """End a session."""
        await self.ask(lambda access: access.log_out(token, where))

    async def add(self, name: str, role: Role, password: str, by: Actor) -> str:
        """Add a person; returns the name as it is stored. Raises InputError."""
        judged = judge_password(password, name_of(name))
        hashed = await self._hash(lambda passwords: passwords.hash(judged))
        return await self.ask(lambda access: access.people.add(name, role, hashed, by))

    async def set_password(self, name: str, password: str, by: Actor) -> None:
        """Set somebody's password, which ends all of their sessions. Raises InputError, UnknownName."""
        judged = judge_password(password, name_of(name))
        hashed = await self._hash(lambda passwords: passwords.hash(judged))
        await self.ask(lambda access: access.people.set_password(name, hashed, by))

    async def change_password(self, name: str, current: str, password: str, where: str) -> str | Wait:
        """Let a person set their own password by showing the present one; returns the token of a new session.

        The present one is tried as at a login, so that whoever found an open session cannot guess it here.
        Raises InputError for the new one, Refused where the present one does not fit.
        """
        judge_password(password, name_of(name))
        tried = await self.log_in(name, current, where)
        if isinstance(tried, Wait):
            return tried
        if not tried:
            raise Refused("the present password is another", "type the one that you log in with")
        await self.set_password(name, password, Actor(name, where))
        return await self.ask(lambda access: access.enter(name, where))

    def close(self) -> None:
        """Close the file, once what goes on has ended."""
        if self._access is not None:
            self._filing.submit(self._access.close).result()
            self._access = None
        self._filing.shutdown()
        self._hashing.shutdown()

    async def _hash(self, act: Callable[[Passwords], T]) -> T:
        if self._at_it >= _MOST_HASHING:
            raise Busy("too many log in at once", "try again in a few seconds")
        self._at_it += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._hashing, lambda: act(self._ready()))
        finally:
            self._at_it -= 1

    def _ready(self) -> Passwords:
        with self._lock:
            if self._passwords is None:
                self._passwords = self._make()
            return self._passwords


def _tried(passwords: Passwords, stored: str, password: str) -> tuple[bool, str]:
    """Return whether a password fits, and its hash by today's parameters where the stored one is older."""
    fits = passwords.fits(stored, password)
    return fits, passwords.hash(password) if fits and passwords.outdated(stored) else ""
