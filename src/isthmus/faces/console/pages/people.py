"""The pages of who may do what: logging in and out, users, API keys, the audit log, one's own password.

All of it works without scripts: forms that are sent and answered by a page or by a redirect.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, quote

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from isthmus.app.people.access import Wait
from isthmus.app.people.person import Person, Role
from isthmus.app.people.rules import LEAST_PASSWORD, MOST_PASSWORD, name_of
from isthmus.core.errors import Busy, InputError, Refused, UnknownName
from isthmus.faces.console.frame import Frame, local
from isthmus.faces.http.hub.guard import SessionGuard
from isthmus.faces.http.hub.hub import Hub
from isthmus.faces.http.hub.paging import cursor, key_of
from isthmus.faces.http.hub.resources.people import Number
from isthmus.faces.http.reading import whole

_AT_ONCE = 50
_MOST_FORM = 1 << 14
_PATIENCE_S = 20.0
_DONE = frozenset({"added", "role", "password", "logout", "removed", "revoked", "own"})


def routes(hub: Hub, frame: Frame) -> list[BaseRoute]:
    """Return the pages' routes. They are there where the hub has the guard that keeps people."""
    if not isinstance(hub.guard, SessionGuard):
        return []
    gate, pages = LoginPage(hub.guard, hub, frame), PeoplePages(hub.guard, hub, frame)
    return [
        Route("/login", gate.show, methods=["GET"]),
        Route("/login", gate.enter, methods=["POST"]),
        frame.at("/logout", gate.leave, methods=("POST",)),
        frame.at("/people", pages.users),
        frame.at("/people/users/{act}", pages.change_user, role=Role.ADMIN, methods=("POST",)),
        frame.at("/people/keys", pages.keys, role=Role.ADMIN),
        frame.at("/people/keys/{act}", pages.change_key, role=Role.ADMIN, methods=("POST",)),
        frame.at("/people/audit", pages.audit),
        frame.at("/people/account", pages.account),
        frame.at("/people/account", pages.change_own, methods=("POST",)),
    ]


class LoginPage:
    """Logging in and out."""

    def __init__(self, guard: SessionGuard, hub: Hub, frame: Frame) -> None:
        self._guard, self._hub, self._frame = guard, hub, frame

    async def show(self, request: Request) -> Response:
        """Show the form; whoever is logged in goes on at once."""
        place = local(request.query_params.get("next", "/"))
        try:
            await self._guard.need(request)
        except HTTPException:
            return await self._form(request, place)
        return RedirectResponse(place, 303)

    async def enter(self, request: Request) -> Response:
        """Judge name and password; a new session begins, and the one that the browser had ends."""
        if not self._guard.own_page(request):
            return await self._form(request, "/", 403, "login.foreign")
        try:
            text = (await whole(request, _MOST_FORM, _PATIENCE_S)).decode("utf-8", "replace")
            given = dict(parse_qsl(text, keep_blank_values=True, max_num_fields=10, errors="replace"))
        except ValueError:
            return await self._form(request, "/", 422, "login.failed")
        except HTTPException as error:
            return await self._form(request, "/", error.status_code, "login.failed")
        place, name = local(given.get("next", "/")), given.get("name", "")
        where, before = self._guard.where(request), self._guard.session(request)
        try:
            token = await self._guard.desk.log_in(name, given.get("password", ""), where, before)
        except Busy:
            return await self._form(request, place, 503, "login.busy", name=name)
        if isinstance(token, Wait):
            seconds = max(1, math.ceil(token.seconds))
            response = await self._form(request, place, 429, "login.wait", name=name, seconds=seconds)
            response.headers["retry-after"] = str(seconds)
            return response
        if not token:
            return await self._form(request, place, 401, "login.failed", name=name)
        response = RedirectResponse(place, 303)
        self._guard.begin(response, token)
        return response

    async def leave(self, request: Request) -> Response:
        """End the session."""
        await self._guard.desk.log_out(self._guard.session(request), self._guard.where(request))
        request.state.noted = True
        response = RedirectResponse("/login", 303)
        self._guard.end(response)
        return response

    async def _form(
        self, request: Request, place: str, status: int = 200, wrong: str = "", name: str = "", seconds: int = 0
    ) -> Response:
        anybody = await self._guard.desk.ask(lambda access: access.anybody())
        response = self._frame.render(
            request,
            "login.html",
            None,
            status=status,
            next=place,
            wrong=wrong,
            name=name[:64],
            seconds=seconds,
            anybody=anybody,
            command=f"isthmus --site {shlex.quote(str(self._hub.toml))} user add NAME --role admin",
        )
        if status == 401:
            response.headers["www-authenticate"] = 'Form realm="isthmus"'
        return response


class PeoplePages:
    """Users, keys, the audit log, one's own password."""

    def __init__(self, guard: SessionGuard, hub: Hub, frame: Frame) -> None:
        self._guard, self._desk, self._frame = guard, guard.desk, frame
        self._cli = f"isthmus --site {shlex.quote(str(hub.toml))}"

    async def users(self, request: Request) -> Response:
        """List the users, and change the one that `user` names; whoever is no admin sees their own account."""
        person = await self._frame.need(request)
        return await (self._users(request) if person.may(Role.ADMIN) else self.account(request))

    async def change_user(self, request: Request) -> Response:
        """Add or change a user."""
        form = await _form(request)
        act, name = request.path_params["act"], form.get("name", "")
        by = self._guard.actor(request, await self._frame.need(request, Role.ADMIN))
        try:
            if act == "add":
                await self._desk.add(name, _role(form), form.get("password", ""), by)
                done = "added"
            elif act == "role":
                role = _role(form)
                await self._desk.ask(lambda access: access.people.set_role(name, role, by))
                done = "role"
            elif act == "password":
                await self._desk.set_password(name, form.get("password", ""), by)
                done = "password"
            elif act == "logout":
                await self._desk.ask(lambda access: access.end_sessions(name, by))
                done = "logout"
            elif act == "remove":
                _confirmed(form, name)
                await self._desk.ask(lambda access: access.people.remove(name, by))
                done = "removed"
            else:
                raise UnknownName.among("act", act, ("add", "role", "password", "logout", "remove"))
        except (InputError, Refused) as error:
            return await self._users(request, error, form, chosen="" if act == "add" else name)
        request.state.noted = True
        return RedirectResponse(f"/people?done={done}&name={quote(name_of(name))}", 303)

    async def keys(self, request: Request) -> Response:
        """List the keys."""
        return await self._keys(request)

    async def change_key(self, request: Request) -> Response:
        """Make a key, which is shown this once, or revoke one."""
        form = await _form(request)
        act, name = request.path_params["act"], form.get("name", "")
        by = self._guard.actor(request, await self._frame.need(request, Role.ADMIN))
        try:
            if act == "add":
                role, days = _role(form), _days(form)
                made = await self._desk.ask(lambda access: access.keys.add(name, role, by, days))
                request.state.noted = True
                return await self._keys(request, made=made)
            if act != "revoke":
                raise UnknownName.among("act", act, ("add", "revoke"))
            await self._desk.ask(lambda access: access.keys.revoke(name, by))
        except (InputError, Refused) as error:
            return await self._keys(request, error, form)
        request.state.noted = True
        return RedirectResponse(f"/people/keys?done=revoked&name={quote(name_of(name))}", 303)

    async def audit(self, request: Request) -> Response:
        """Show the audit log, newest first; with `verify` an admin sees whether it is whole."""
        person = await self._frame.need(request)
        before = key_of(request.query_params.get("after", ""), Number) or 0
        admin = person.may(Role.ADMIN)
        whose = "" if admin else self._guard.actor(request, person).who
        found = await self._desk.ask(lambda access: access.trail.latest(before, _AT_ONCE + 1, whose))
        verdict = None
        if admin and "verify" in request.query_params:
            verdict = await self._desk.ask(lambda access: access.trail.verify())
        return await self._page(
            request,
            "audit",
            lines=found[:_AT_ONCE],
            next=cursor(found[_AT_ONCE - 1].number) if len(found) > _AT_ONCE else "",
            verdict=verdict,
        )

    async def account(self, request: Request) -> Response:
        """Show who one is, and change one's password."""
        return await self._page(request, "account")

    async def change_own(self, request: Request) -> Response:
        """Change one's own password, which ends all of one's other sessions."""
        form, person = await _form(request), await self._frame.need(request)
        if person.by != "session":
            raise Refused("a key has no password", "log in as a user")
        where = self._guard.where(request)
        try:
            token = await self._desk.change_password(
                person.name, form.get("current", ""), form.get("password", ""), where
            )
        except (InputError, Refused) as error:
            return await self._page(request, "account", error)
        if isinstance(token, Wait):
            again = Refused(
                "the present password did not fit too often", f"try again in {math.ceil(token.seconds)} s"
            )
            return await self._page(request, "account", again)
        request.state.noted = True
        response = RedirectResponse("/people/account?done=own", 303)
        self._guard.begin(response, token)
        return response

    async def _users(
        self,
        request: Request,
        error: InputError | Refused | None = None,
        form: Mapping[str, str] | None = None,
        chosen: str = "",
    ) -> Response:
        chosen = chosen or request.query_params.get("user", "")
        after = key_of(request.query_params.get("after", ""), str) or ""
        found = await self._desk.ask(lambda access: access.people.members(after, _AT_ONCE + 1))
        member = None
        if chosen:
            try:
                member = await self._desk.ask(lambda access: access.people.member(chosen))
            except InputError as unknown:
                error = error or unknown
        next = cursor(found[_AT_ONCE - 1].name) if len(found) > _AT_ONCE else ""
        return await self._page(request, "users", error, form, members=found[:_AT_ONCE], next=next, member=member)

    async def _keys(
        self,
        request: Request,
        error: InputError | Refused | None = None,
        form: Mapping[str, str] | None = None,
        made: Any = None,
    ) -> Response:
        after = key_of(request.query_params.get("after", ""), Number) or 0
        found = await self._desk.ask(lambda access: access.keys.listed(after, _AT_ONCE + 1))
        next = cursor(found[_AT_ONCE - 1][0]) if len(found) > _AT_ONCE else ""
        shown = [one for _, one in found[:_AT_ONCE]]
        return await self._page(request, "keys", error, form, keys=shown, next=next, made=made)

    async def _page(
        self,
        request: Request,
        section: str,
        error: InputError | Refused | None = None,
        form: Mapping[str, str] | None = None,
        **values: Any,
    ) -> Response:
        done, name = request.query_params.get("done", ""), request.query_params.get("name", "")
        person: Person = await self._frame.need(request)
        return await self._frame.page(
            request,
            "people.html",
            status=200 if error is None else 422 if isinstance(error, InputError) else 403,
            section=section,
            sections=("users", "keys", "audit", "account") if person.may(Role.ADMIN) else ("account", "audit"),
            wrong=error,
            given={key: form.get(key, "") for key in ("name", "role", "days")} if form else {},
            done=done if done in _DONE and error is None else "",
            done_name=_shown_name(name),
            cli=self._cli,
            least=LEAST_PASSWORD,
            most=MOST_PASSWORD,
            **values,
        )


async def _form(request: Request) -> dict[str, str]:
    """Return the texts of a form; the guard has read it already, for its token."""
    return {name: value for name, value in (await request.form()).items() if isinstance(value, str)}


def _role(form: Mapping[str, str]) -> Role:
    try:
        return Role.of(form.get("role", ""))
    except ValueError as error:
        raise InputError(str(error), "choose one") from error


def _days(form: Mapping[str, str]) -> float | None:
    text = form.get("days", "").strip()
    try:
        return float(text) if text else None
    except ValueError as error:
        raise InputError(f"{text!r} is no number of days", "write one such as 90, or leave it empty") from error


def _confirmed(form: Mapping[str, str], name: str) -> None:
    if form.get("confirm", "").strip().lower() != name.strip().lower():
        raise InputError("the name was not typed again as it is", "type it to confirm")


def _shown_name(text: str) -> str:
    """Return a name out of an address only where it is one: anybody can write an address."""
    try:
        return name_of(text)
    except InputError:
        return ""
