"""The doors of operations: which there are, what each takes, and to begin one."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from isthmus.app.people.person import Person, Role
from isthmus.app.works.arguments import MOST_FILES, MOST_VALUES
from isthmus.app.works.happening import Happening
from isthmus.app.works.seeing import seen
from isthmus.app.works.work import ENDED, Kind, Operation, Parameter, Work
from isthmus.core.errors import Busy, UnknownName
from isthmus.faces.http import reading
from isthmus.faces.http.answers import answer
from isthmus.faces.http.doors import BODY, FORM, JSON, Door
from isthmus.faces.http.hub.hub import Hub
from isthmus.faces.http.hub.paging import Page, Paged, part, read_page

MOST_WAIT_S = 60
_PATIENCE_S = 30.0
_URLENCODED = "application/x-www-form-urlencoded"
_OURS = frozenset({"csrf", "confirm", "confirms"})
"""Fields of a form that are no arguments."""
_WAIT = re.compile(r"(?:^|[,;\s])wait\s*=\s*\"?([0-9]{1,6})", re.IGNORECASE)


class ParameterShown(msgspec.Struct, frozen=True):
    """What an operation takes. A `file in` is sent as a file of a form, a `file out` is a name to fetch it by."""

    name: str
    kind: Kind
    about: str
    needed: bool
    many: bool
    default: str | int | float | bool | None
    choices: Sequence[str]
    least: float | None
    most: float | None


class OperationShown(msgspec.Struct, frozen=True):
    """Something that can be run. `path` is the door to post its arguments to."""

    name: str
    path: str
    about: str
    role: str
    parameters: Sequence[ParameterShown]
    secret: bool = False
    """What it prints and writes is shown to who began it alone, for a while, and stored nowhere."""


def path_of(name: str) -> str:
    """Return where an operation is begun."""
    return f"/v1/operations/{name.replace(' ', '-')}"


class OperationDoors:
    """The doors of operations of one site."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def doors(self) -> list[Door]:
        """Return the doors that are routed."""
        return [
            Door(
                "GET", "/v1/operations", self.known, "List what can be run.", Role.VIEWER, Paged,
                good={200: {JSON: Page[OperationShown]}}, bad=(422,),
            ),
            Door("POST", "/v1/operations/{operation}", self.start, "Begin an operation.", Role.VIEWER),
        ]  # fmt: skip

    def described(self) -> list[Door]:
        """Return a door for each operation, for the description alone: they are all one."""
        return [
            Door(
                "POST",
                path_of(one.name),
                self.start,
                one.about or one.name,
                one.role,
                bodies=_bodies(one),
                body_needed=any(parameter.needed for parameter in one.parameters),
                good={200: {JSON: Work}, 202: {JSON: Work}},
                bad=(*BODY, 429),
                headers=("Prefer",),
            )
            for one in self._hub.works.operations().values()
        ]

    async def known(self, request: Request) -> Response:
        """List the operations, in the order of their names."""
        found = sorted(self._hub.works.operations().values(), key=lambda one: one.name)
        return answer(part([_shown(one) for one in found], read_page(request), lambda one: one.name))

    async def start(self, request: Request) -> Response:
        """Begin an operation: 202 and where its work is found; with `Prefer: wait=N` 200 where it ends in time."""
        operation = self._named(request.path_params["operation"])
        person: Person = request.state.person
        if not person.may(operation.role):  # before a long body is read
            raise HTTPException(
                403, f"{operation.name} needs the role {operation.role}; {person.name} is {person.role}"
            )
        arguments, files = await given(request)
        try:
            work = await asyncio.to_thread(self._hub.works.start, operation.name, arguments, person, files)
        except Busy as error:
            raise HTTPException(429, str(error), {"retry-after": "5"}) from error
        headers = {"location": f"/v1/works/{work.id}"}
        if wait_s := _wait(request):
            headers["preference-applied"] = f"wait={wait_s}"
            work = await until_ended(self._hub, work.id, wait_s)
        shown = seen(work, self._hub.works.operations(), person)
        return answer(shown, 200 if work.state in ENDED else 202, headers)

    def _named(self, dashed: str) -> Operation:
        operations = self._hub.works.operations()
        names = {name.replace(" ", "-"): name for name in operations}
        if dashed not in names:
            raise UnknownName.among("operation", dashed, names)
        return operations[names[dashed]]


async def given(request: Request) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Read the arguments of an operation, from JSON or a form, and the files that came along.

    Raises HTTPException where the body is neither.
    """
    media = reading.media_type(request)
    if media not in (FORM, _URLENCODED):
        return await reading.body(request, dict[str, Any], _PATIENCE_S, {}), {}
    form = await request.form(max_files=MOST_FILES, max_fields=2 * MOST_VALUES)
    arguments: dict[str, Any] = {}
    files: dict[str, bytes] = {}
    for name, value in form.multi_items():
        if name in _OURS:
            continue
        if isinstance(value, UploadFile):
            if not value.filename and not value.size:
                continue  # a form's field for a file that was left empty
            text = value.filename or name
            files[text] = await value.read()
        else:
            text = value
        several = arguments.setdefault(name, [])
        several.append(text)
    return {name: several[0] if len(several) == 1 else several for name, several in arguments.items()}, files


def _wait(request: Request) -> int:
    found = _WAIT.search(",".join(request.headers.getlist("prefer")))
    return min(int(found[1]), MOST_WAIT_S) if found else 0


async def until_ended(hub: Hub, id: str, for_s: float) -> Work:
    """Wait until a work has ended, for so long at most; returns it as it stands then."""
    loop, ended = asyncio.get_running_loop(), asyncio.Event()

    def take(one: Happening) -> None:
        if one.what == "ended" and one.work.id == id:
            loop.call_soon_threadsafe(ended.set)

    leave, _ = hub.works.watch(take)
    try:
        work = await asyncio.to_thread(hub.works.get, id)
        if work.state not in ENDED:
            try:
                async with asyncio.timeout(for_s):
                    await ended.wait()
            except TimeoutError:
                pass
            work = await asyncio.to_thread(hub.works.get, id)
    finally:
        leave()
    return work


def _shown(operation: Operation) -> OperationShown:
    parameters = [
        ParameterShown(
            one.name, one.kind, one.about, one.needed, one.many, one.default, one.choices, one.least, one.most
        )
        for one in operation.parameters
    ]
    return OperationShown(
        operation.name, path_of(operation.name), operation.about, str(operation.role), parameters, operation.secret
    )


def _bodies(operation: Operation) -> dict[str, Mapping[str, Any]]:
    files = [one for one in operation.parameters if one.kind == "file in"]
    bodies: dict[str, Mapping[str, Any]] = {}
    if not any(one.needed for one in files):
        bodies[JSON] = _schema([one for one in operation.parameters if one.kind != "file in"])
    if files:
        bodies[FORM] = _schema(operation.parameters)
    return bodies


def _schema(parameters: Sequence[Parameter]) -> dict[str, Any]:
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {one.name: _several(one) for one in parameters},
        "additionalProperties": False,
    }
    if needed := [one.name for one in parameters if one.needed]:
        schema["required"] = needed
    return schema


def _several(one: Parameter) -> dict[str, Any]:
    schema = _one(one)
    if one.many:
        schema = {"type": "array", "items": schema, "maxItems": MOST_VALUES, "minItems": 1 if one.needed else 0}
    if one.about:
        schema["description"] = one.about
    return schema


def _one(one: Parameter) -> dict[str, Any]:
    schema: dict[str, Any]
    match one.kind:
        case "yes or no":
            schema = {"type": "boolean"}
        case "whole number":
            schema = {"type": "integer"}
        case "number":
            schema = {"type": "number"}
        case "choice":
            schema = {"type": "string", "enum": list(one.choices)}
        case "moment":
            schema = {"type": "string", "format": "date"}
        case "file in":
            schema = {"type": "string", "contentMediaType": "application/octet-stream", "format": "binary"}
        case "file out":
            schema = {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"}
        case _:
            schema = {"type": "string", "minLength": 1 if one.needed else 0, "maxLength": 20_000}
    if one.plain:
        schema["pattern"] = "^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"
    if one.kind in ("whole number", "number"):
        schema |= {
            name: bound for name, bound in (("minimum", one.least), ("maximum", one.most)) if bound is not None
        }
    if one.default is not None:
        schema["default"] = one.default
    return schema
