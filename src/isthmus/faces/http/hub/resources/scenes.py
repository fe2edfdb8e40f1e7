"""Doors of scenes: lists by a filter, one scene, what is drawn of it, scenes like it, rules, and free SQL."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from isthmus.app.people.person import Role
from isthmus.app.views.rules import Counted, RuleShown, count_scenes, list_rules
from isthmus.app.views.scene import MOST_LIKE, Alike, Drawing, SceneShown, draw, list_similar, show_scene
from isthmus.app.views.scenes import SCENES, Column, Sought, TableShown, list_scenes, list_tables
from isthmus.app.views.sql import LONGEST, MOST_ROWS, Answer, Asked, ask_and_note, history
from isthmus.core.errors import InputError
from isthmus.faces.http.answers import answer
from isthmus.faces.http.doors import BODY, JSON, Door, Nothing
from isthmus.faces.http.hub.hub import Hub
from isthmus.faces.http.hub.paging import Page, Paged, asked, cursor, key_of, part
from isthmus.faces.http.reading import body

_PATIENCE_S = 20.0
_Name = Annotated[str, msgspec.Meta(max_length=1000)]
_Text = Annotated[str, msgspec.Meta(max_length=10_000)]
_Names = Annotated[str, msgspec.Meta(max_length=4000)]


class WhatIsSought(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which scenes: every part that is given must hold.

    `set` gives parameters of the rule, as `gap_m=15,cut_in.gap_m=12`; `named` is how the id begins.
    """

    table: _Name = SCENES
    named: _Name = ""
    source: _Name = ""
    tag: _Name = ""
    day_from: datetime.date | None = None
    day_to: datetime.date | None = None
    rule: _Text = ""
    set: _Names = ""
    where: _Text = ""


class WhichScenes(Paged, frozen=True, forbid_unknown_fields=True):
    """Which scenes, in which order, and which of their fields.

    `order` is a field, with a - before it for the greatest first; `columns` are fields, apart by commas.
    """

    table: _Name = SCENES
    named: _Name = ""
    source: _Name = ""
    tag: _Name = ""
    day_from: datetime.date | None = None
    day_to: datetime.date | None = None
    rule: _Text = ""
    set: _Names = ""
    where: _Text = ""
    order: _Name = ""
    columns: _Names = ""


class SceneRows(msgspec.Struct, frozen=True):
    """A part of a list of scenes, or of rows of another table.

    `matched` counts all that was asked for, `total` the rows of the table; `where` is the filter but the rule as
    one condition; `version` is the warehouse's that the rows are level with, 0 before the first ingest.
    """

    items: Sequence[Mapping[str, Any]]
    next: str
    matched: int
    total: int
    columns: Sequence[Column]
    where: str
    version: int


class Like(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many scenes that are like one."""

    count: Annotated[int, msgspec.Meta(ge=1, le=MOST_LIKE)] = 12


class Statement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One reading statement, and the most rows that it may bring."""

    sql: Annotated[str, msgspec.Meta(min_length=1, max_length=LONGEST)]
    limit: Annotated[int, msgspec.Meta(ge=1, le=MOST_ROWS)] = 1000


class Forgotten(msgspec.Struct, frozen=True):
    """How many statements were forgotten."""

    forgotten: int


class SceneDoors:
    """The endpoints."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    async def tables(self, request: Request) -> Response:
        """List the tables."""
        found = await asyncio.to_thread(list_tables, self._hub.toml)
        return answer(part(found, asked(request, Paged), lambda one: one.name))

    async def scenes(self, request: Request) -> Response:
        """List scenes."""
        given = asked(request, WhichScenes)
        columns = [name.strip() for name in given.columns.split(",") if name.strip()]
        after = key_of(given.after, list[Any])
        sought = sought_of(given, given.order.removeprefix("-"), given.order.startswith("-"))
        found = await asyncio.to_thread(list_scenes, self._hub.toml, sought, given.limit, after, columns)
        return answer(
            SceneRows(
                found.rows,
                cursor(found.after) if found.after else "",
                found.matched,
                found.total,
                found.columns,
                found.where,
                found.version,
            )
        )

    async def scene(self, request: Request) -> Response:
        """Show one scene."""
        return answer(await asyncio.to_thread(show_scene, self._hub.toml, request.path_params["scene"]))

    async def drawing(self, request: Request) -> Response:
        """Say what is drawn of a scene."""
        return answer(await asyncio.to_thread(draw, self._hub.toml, request.path_params["scene"]))

    async def similar(self, request: Request) -> Response:
        """List the scenes most like one."""
        count = asked(request, Like).count
        found = await asyncio.to_thread(list_similar, self._hub.toml, request.path_params["scene"], count)
        return answer(Page(found))

    async def rules(self, request: Request) -> Response:
        """List the rules."""
        found = await asyncio.to_thread(list_rules, self._hub.toml)
        return answer(part(found, asked(request, Paged), lambda one: one.name))

    async def count(self, request: Request) -> Response:
        """Count scenes."""
        sought = sought_of(asked(request, WhatIsSought))
        return answer(await asyncio.to_thread(count_scenes, self._hub.toml, sought))

    async def sql(self, request: Request) -> Response:
        """Run one reading statement."""
        given = await body(request, Statement, _PATIENCE_S)
        request.state.noted = True  # a question, not a change
        name = request.state.person.name
        return answer(
            await asyncio.to_thread(ask_and_note, self._hub.toml, name, given.sql, given.limit, self._hub.clock)
        )

    async def history(self, request: Request) -> Response:
        """List what the one who asks has asked."""
        given, person = asked(request, Paged), request.state.person.name
        before = key_of(given.after, int)

        def read() -> tuple[Asked, ...]:
            with history(self._hub.toml) as notes:
                return notes.asked(person, given.limit + 1, before)

        found = await asyncio.to_thread(read)
        shown = found[: given.limit]
        return answer(Page(shown, cursor(shown[-1].number) if len(found) > len(shown) else ""))

    async def forget(self, request: Request) -> Response:
        """Forget what the one who asks has asked."""
        person = request.state.person.name

        def forget() -> int:
            with history(self._hub.toml) as notes:
                return notes.forget(person)

        return answer(Forgotten(await asyncio.to_thread(forget)))


def sought_of(given: WhatIsSought | WhichScenes, order: str = "", descending: bool = False) -> Sought:
    """Return what is sought by the parameters of a call. Raises InputError for `set` that sets nothing."""
    return Sought(
        table=given.table,
        named=given.named,
        source=given.source,
        tag=given.tag,
        day_from=given.day_from,
        day_to=given.day_to,
        rule=given.rule,
        settings=settings_of(given.set),
        where=given.where,
        order=order,
        descending=descending,
    )


def settings_of(text: str) -> dict[str, str]:
    """Read `NAME=VALUE,NAME=VALUE`. Raises InputError."""
    found: dict[str, str] = {}
    for one in filter(str.strip, text.split(",")):
        name, equals, value = one.partition("=")
        if not equals or not name.strip():
            raise InputError(f"{one.strip()!r} sets nothing", "write NAME=VALUE, apart by commas")
        found[name.strip()] = value.strip()
    return found


def doors(hub: Hub) -> list[Door]:
    """Return the doors of scenes, rules and free SQL."""
    at = SceneDoors(hub)
    return [*_of_scenes(at), *_of_rules(at), *_of_sql(at)]


def _reads(path: str, endpoint: Any, summary: str, kind: Any, query: type, bad: tuple[int, ...] = (422,)) -> Door:
    return Door("GET", path, endpoint, summary, Role.VIEWER, query, good={200: {JSON: kind}}, bad=bad)


def _of_scenes(at: SceneDoors) -> list[Door]:
    one, missing = "/v1/scenes/{scene:path}", (404, 422)
    return [
        _reads("/v1/tables", at.tables, "List the tables of the OLAP with their fields.", Page[TableShown], Paged),
        _reads(
            "/v1/scenes",
            at.scenes,
            "List scenes, or rows of another table, by a filter.",
            SceneRows,
            WhichScenes,
            missing,
        ),
        _reads(
            f"{one}/drawing",
            at.drawing,
            "Get what is drawn of a scene: agents and lanes, step by step.",
            Drawing,
            Nothing,
            missing,
        ),
        _reads(
            f"{one}/similar",
            at.similar,
            "List the scenes most like one, the nearest first.",
            Page[Alike],
            Like,
            missing,
        ),
        _reads(
            one, at.scene, "Show a scene: its simple fields and the rules that hold.", SceneShown, Nothing, missing
        ),
    ]


def _of_rules(at: SceneDoors) -> list[Door]:
    return [
        _reads(
            "/v1/rules",
            at.rules,
            "List the rules, each with its parameters and how many scenes it finds.",
            Page[RuleShown],
            Paged,
        ),
        _reads(
            "/v1/rules/count",
            at.count,
            "Count the scenes that a rule, or a combination of rules, finds.",
            Counted,
            WhatIsSought,
            (404, 422),
        ),
    ]


def _of_sql(at: SceneDoors) -> list[Door]:
    return [
        Door(
            "POST",
            "/v1/sql",
            at.sql,
            "Ask the OLAP in SQL: one reading statement, limited in rows, time and memory; it is remembered.",
            Role.VIEWER,
            bodies={JSON: Statement},
            good={200: {JSON: Answer}},
            bad=BODY,
        ),
        _reads(
            "/v1/sql/history", at.history, "List the statements that you asked, newest first.", Page[Asked], Paged
        ),
        Door(
            "DELETE",
            "/v1/sql/history",
            at.forget,
            "Forget the statements that you asked.",
            Role.VIEWER,
            good={200: {JSON: Forgotten}},
        ),
    ]
