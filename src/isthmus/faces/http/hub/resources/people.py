"""Doors of who may do what: the session, people, API keys, the audit log."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from isthmus.app.people.access import Wait
from isthmus.app.people.person import Person, Role
from isthmus.faces.http.answers import answer
from isthmus.faces.http.doors import BODY, JSON, Door
from isthmus.faces.http.hub.guard import SessionGuard
from isthmus.faces.http.hub.hub import Hub
from isthmus.faces.http.hub.paging import Page, Paged, asked, cursor, key_of
from isthmus.faces.http.hub.resources import peopleshapes as shapes
from isthmus.faces.http.hub.resources.peopleshapes import act_shown, key_shown, me_of, person_shown
from isthmus.faces.http.reading import body

_PATIENCE_S = 20.0
Number = Annotated[int, msgspec.Meta(ge=0, le=1 << 62)]


class PeopleDoors:
    """What the doors do."""

    def __init__(self, guard: SessionGuard) -> None:
        self._guard, self._desk = guard, guard.desk

    async def log_in(self, request: Request) -> Response:
        """Begin a session."""
        if not self._guard.own_page(request):
            raise HTTPException(403, "a page of another site may not log you in")
        given = await body(request, shapes.LogIn, _PATIENCE_S)
        before = self._guard.session(request)
        token = await self._desk.log_in(given.name, given.password, self._guard.where(request), before)
        return await self._entered(request, _fits(token))

    async def me(self, request: Request) -> Response:
        """Tell who asks."""
        person: Person = request.state.person
        csrf = self._guard.token(request) if person.by == "session" else ""
        return answer(me_of(person, csrf), headers={"cache-control": "no-store"})

    async def log_out(self, request: Request) -> Response:
        """End the session."""
        await self._desk.log_out(self._guard.session(request), self._guard.where(request))
        request.state.noted = True
        response = Response(status_code=204)
        self._guard.end(response)
        return response

    async def people(self, request: Request) -> Response:
        """List people by name."""
        given = asked(request, Paged)
        after = key_of(given.after, str) or ""
        found = await self._desk.ask(lambda access: access.people.members(after, given.limit + 1))
        return answer(_page([person_shown(one) for one in found], given.limit, [one.name for one in found]))

    async def person(self, request: Request) -> Response:
        """Show one person."""
        name = request.path_params["name"]
        return answer(person_shown(await self._desk.ask(lambda access: access.people.member(name))))

    async def add_person(self, request: Request) -> Response:
        """Add a person."""
        given = await body(request, shapes.NewPerson, _PATIENCE_S)
        by = self._guard.actor(request, request.state.person)
        name = await self._desk.add(given.name, Role.of(given.role), given.password, by)
        request.state.noted = True
        made = await self._desk.ask(lambda access: access.people.member(name))
        return answer(person_shown(made), 201, {"location": f"/v1/people/{name}"})

    async def set_role(self, request: Request) -> Response:
        """Give a person another role."""
        given = await body(request, shapes.NewRole, _PATIENCE_S)
        by, name = self._guard.actor(request, request.state.person), request.path_params["name"]
        await self._desk.ask(lambda access: access.people.set_role(name, Role.of(given.role), by))
        request.state.noted = True
        return answer(person_shown(await self._desk.ask(lambda access: access.people.member(name))))

    async def set_password(self, request: Request) -> Response:
        """Set a password: one's own with the present one, or, as an admin, another's."""
        given = await body(request, shapes.NewPassword, _PATIENCE_S)
        person: Person = request.state.person
        name = request.path_params["name"].lower()
        if person.by == "session" and person.name == name:
            where = self._guard.where(request)
            token = _fits(await self._desk.change_password(name, given.current, given.password, where))
            request.state.noted = True
            response = Response(status_code=204)
            self._guard.begin(response, token)
            return response
        if not person.may(Role.ADMIN):
            raise HTTPException(403, f"this needs the role admin; {person.name} is {person.role}")
        await self._desk.set_password(name, given.password, self._guard.actor(request, person))
        request.state.noted = True
        return Response(status_code=204)

    async def end_sessions(self, request: Request) -> Response:
        """End all sessions of a person."""
        by, name = self._guard.actor(request, request.state.person), request.path_params["name"]
        ended = await self._desk.ask(lambda access: access.end_sessions(name, by))
        request.state.noted = True
        return answer(shapes.Ended(ended))

    async def remove_person(self, request: Request) -> Response:
        """Remove a person."""
        by, name = self._guard.actor(request, request.state.person), request.path_params["name"]
        await self._desk.ask(lambda access: access.people.remove(name, by))
        request.state.noted = True
        return Response(status_code=204)

    async def keys(self, request: Request) -> Response:
        """List API keys in the order in which they were made."""
        given = asked(request, Paged)
        after = key_of(given.after, Number) or 0
        found = await self._desk.ask(lambda access: access.keys.listed(after, given.limit + 1))
        return answer(_page([key_shown(one) for _, one in found], given.limit, [number for number, _ in found]))

    async def add_key(self, request: Request) -> Response:
        """Make an API key."""
        given = await body(request, shapes.WantedKey, _PATIENCE_S)
        by = self._guard.actor(request, request.state.person)
        made = await self._desk.ask(
            lambda access: access.keys.add(given.name, Role.of(given.role), by, given.days)
        )
        request.state.noted = True
        return answer(shapes.MadeKey(key_shown(made.shown), made.text), 201, {"cache-control": "no-store"})

    async def revoke_key(self, request: Request) -> Response:
        """Revoke an API key."""
        by, name = self._guard.actor(request, request.state.person), request.path_params["name"]
        await self._desk.ask(lambda access: access.keys.revoke(name, by))
        request.state.noted = True
        return Response(status_code=204)

    async def audit(self, request: Request) -> Response:
        """List the audit log, newest first: an admin sees all of it, others what they did and what befell them."""
        given, person = asked(request, Paged), request.state.person
        before = key_of(given.after, Number) or 0
        whose = "" if person.may(Role.ADMIN) else self._guard.actor(request, person).who
        found = await self._desk.ask(lambda access: access.trail.latest(before, given.limit + 1, whose))
        return answer(_page([act_shown(one) for one in found], given.limit, [one.number for one in found]))

    async def proof(self, request: Request) -> Response:
        """Verify the audit log."""
        since = asked(request, shapes.Since).since
        verdict = await self._desk.ask(lambda access: access.trail.verify(since))
        return answer(shapes.Proof(verdict.lines, verdict.head, verdict.faults))

    async def _entered(self, request: Request, token: str) -> Response:
        person = await self._desk.ask(lambda access: access.sessions.person(token))
        if person is None:
            raise HTTPException(401, "the session ended at once: the machine's clock jumped")
        response = answer(me_of(person, self._guard.proof(token)), headers={"cache-control": "no-store"})
        self._guard.begin(response, token)
        return response


def doors(hub: Hub) -> list[Door]:
    """Return the doors. They are there where the hub has the guard that keeps people."""
    if not isinstance(hub.guard, SessionGuard):
        return []
    at = PeopleDoors(hub.guard)
    return [*_of_session(at), *_of_people(at), *_of_one(at), *_of_keys(at), *_of_audit(at)]


def _of_session(at: PeopleDoors) -> list[Door]:
    place, me = "/v1/session", {200: {JSON: shapes.Me}}
    bad = (*BODY, 401, 429)
    return [
        Door(
            "POST",
            place,
            at.log_in,
            "Log in: begin a session.",
            None,
            bodies={JSON: shapes.LogIn},
            good=me,
            bad=bad,
        ),
        Door("GET", place, at.me, "Tell who asks.", Role.VIEWER, good=me),
        Door("DELETE", place, at.log_out, "Log out: end the session.", Role.VIEWER, good={204: {}}),
    ]


def _of_people(at: PeopleDoors) -> list[Door]:
    return [
        Door(
            "GET",
            "/v1/people",
            at.people,
            "List people, by name.",
            Role.ADMIN,
            Paged,
            good={200: {JSON: Page[shapes.PersonShown]}},
            bad=(422,),
        ),
        Door(
            "POST",
            "/v1/people",
            at.add_person,
            "Add a person with a role and a password.",
            Role.ADMIN,
            bodies={JSON: shapes.NewPerson},
            good={201: {JSON: shapes.PersonShown}},
            bad=BODY,
        ),
    ]


def _of_one(at: PeopleDoors) -> list[Door]:
    one, shown = "/v1/people/{name}", {200: {JSON: shapes.PersonShown}}
    missing = (404, 422)
    return [
        Door("GET", one, at.person, "Show a person.", Role.ADMIN, good=shown, bad=missing),
        Door(
            "PATCH",
            one,
            at.set_role,
            "Give a person another role. The last admin stays one.",
            Role.ADMIN,
            bodies={JSON: shapes.NewRole},
            good=shown,
            bad=(*BODY, 404),
        ),
        Door(
            "DELETE",
            one,
            at.remove_person,
            "Remove a person. The last admin stays.",
            Role.ADMIN,
            good={204: {}},
            bad=missing,
        ),
        Door(
            "PUT",
            f"{one}/password",
            at.set_password,
            "Set a password, which ends all sessions: one's own with the present one, as an admin another's.",
            Role.VIEWER,
            bodies={JSON: shapes.NewPassword},
            good={204: {}},
            bad=(*BODY, 404, 429),
        ),
        Door(
            "DELETE",
            f"{one}/sessions",
            at.end_sessions,
            "End all sessions of a person.",
            Role.ADMIN,
            good={200: {JSON: shapes.Ended}},
            bad=missing,
        ),
    ]


def _of_keys(at: PeopleDoors) -> list[Door]:
    return [
        Door(
            "GET",
            "/v1/keys",
            at.keys,
            "List API keys, revoked ones too; never their texts.",
            Role.ADMIN,
            Paged,
            good={200: {JSON: Page[shapes.KeyOut]}},
            bad=(422,),
        ),
        Door(
            "POST",
            "/v1/keys",
            at.add_key,
            "Make an API key; its text is told this once.",
            Role.ADMIN,
            bodies={JSON: shapes.WantedKey},
            good={201: {JSON: shapes.MadeKey}},
            bad=BODY,
        ),
        Door(
            "DELETE",
            "/v1/keys/{name}",
            at.revoke_key,
            "Let an API key open nothing any more.",
            Role.ADMIN,
            good={204: {}},
            bad=(404, 422),
        ),
    ]


def _of_audit(at: PeopleDoors) -> list[Door]:
    return [
        Door(
            "GET",
            "/v1/audit",
            at.audit,
            "List who changed what, newest first: all of it for an admin, else one's own.",
            Role.VIEWER,
            Paged,
            good={200: {JSON: Page[shapes.ActShown]}},
            bad=(422,),
        ),
        Door(
            "GET",
            "/v1/audit/proof",
            at.proof,
            "Verify that no line of the audit log was removed or changed.",
            Role.ADMIN,
            shapes.Since,
            good={200: {JSON: shapes.Proof}},
            bad=(422,),
        ),
    ]


def _fits(token: str | Wait) -> str:
    """Return a token. Raises HTTPException 401 where there is none, 429 where one has to wait."""
    if isinstance(token, Wait):
        seconds = max(1, math.ceil(token.seconds))
        raise HTTPException(
            429, f"too many failed logins; try again in {seconds} s", {"retry-after": str(seconds)}
        )
    if not token:
        raise HTTPException(401, "name and password do not fit together")
    return token


def _page(items: list[object], limit: int, keys: Sequence[object]) -> Page[object]:
    """Make a page of one item more than it shows."""
    more = len(items) > limit
    return Page(items[:limit], cursor(keys[limit - 1]) if more else "")
