"""The pages of scenes: filter and table, one scene with playback, rules with a live count, SQL with history."""

from __future__ import annotations

import asyncio
import datetime
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute

from isthmus.app.views.rules import count_scenes, list_names, list_rules
from isthmus.app.views.scene import list_similar, show_and_draw
from isthmus.app.views.scenes import SCENES, Listing, Sought, list_choices, list_scenes, list_tables
from isthmus.app.views.sql import LONGEST, Answer, Asked, ask_and_note, history
from isthmus.core.errors import ConfigError, InputError, UnknownName
from isthmus.faces.console.cells import cell, heads, query_of, setting_list
from isthmus.faces.console.drawing import picture_of
from isthmus.faces.console.frame import Frame
from isthmus.faces.http.hub.hub import Hub
from isthmus.faces.http.hub.paging import cursor, key_of

_AT_ONCE = 50
_SQL_ROWS = 200
_LONGEST_CONDITION = 4000
RANGES = (
    "duration_s",
    "agents",
    "speed_mean",
    "speed_max",
    "accel_min",
    "gap_min_m",
    "ttc_min_s",
    "cut_ins",
    "density",
)
"""Fields that the filter offers a least and a greatest value for; all others are asked for by a condition."""
_SET = "set."
_EXAMPLES = (
    "SELECT source, day, count(*) AS scenes, sum(distance_m) / 1000 AS km FROM scenes GROUP BY ALL ORDER BY ALL",
    "SELECT scene_id, accel_min, speed_mean FROM scenes ORDER BY accel_min LIMIT 20",
    "SELECT unnest(tags) AS tag, count(*) AS scenes FROM scenes GROUP BY tag ORDER BY scenes DESC",
    "SELECT reason, count(*) AS records FROM rejects GROUP BY reason",
    "DESCRIBE scenes",
)

_WRITTEN: Mapping[str, Any] = {"cell": cell, "heads": heads, "query_of": query_of, "setting_list": setting_list}


@dataclass(frozen=True, slots=True)
class Form:
    """What stands in the filter, as it was typed, and what it means. `wrong` says what cannot be meant."""

    texts: Mapping[str, str]
    sought: Sought
    wrong: str = ""

    def __getitem__(self, name: str) -> str:
        return self.texts.get(name, "")


class ScenePages:
    """The endpoints."""

    def __init__(self, hub: Hub, frame: Frame) -> None:
        self._hub, self._frame = hub, frame

    async def scenes(self, request: Request) -> Response:
        """Show the filter and what it finds."""
        form, toml = read_form(request.query_params), self._hub.toml
        tables = await asyncio.to_thread(list_tables, toml)
        choices = await asyncio.to_thread(list_choices, toml)
        found: Listing | None = None
        wrong = form.wrong
        if not wrong:
            after = key_of(request.query_params.get("after", ""), list[Any])
            try:
                found = await asyncio.to_thread(list_scenes, toml, form.sought, _AT_ONCE, after)
            except ConfigError:
                raise
            except InputError as error:
                wrong = str(error)
        rules = await asyncio.to_thread(list_names, toml) if form.sought.table == SCENES else ()
        return await self._page(
            request,
            "scenes.html",
            status=_status(request, wrong),
            form=form,
            wrong=wrong,
            tables=tables,
            choices=choices,
            rules=rules,
            ranges=RANGES,
            found=found,
            next=cursor(found.after) if found and found.after else "",
        )

    async def scene(self, request: Request) -> Response:
        """Show one scene."""
        scene_id, toml = request.path_params["scene"], self._hub.toml
        shown, drawing = await asyncio.to_thread(show_and_draw, toml, scene_id)
        try:
            similar = await asyncio.to_thread(list_similar, toml, scene_id)
        except InputError:  # it has no vector: it is like none
            similar = ()
        step = _whole(request.query_params.get("step", ""))
        moment = drawing.moment if step is None else min(max(step, 0), drawing.steps - 1)
        return await self._page(
            request,
            "scenes_one.html",
            scene=shown,
            drawing=drawing,
            moment=moment,
            picture=picture_of(drawing, moment),
            source=f"/v1/scenes/{quote(scene_id, safe='')}/drawing",
            similar=similar,
        )

    async def rules(self, request: Request) -> Response:
        """Show the rules with their counts."""
        rules = await asyncio.to_thread(list_rules, self._hub.toml)
        return await self._page(request, "scenes_rules.html", rules=rules)

    async def count(self, request: Request) -> Response:
        """Count what a rule finds with the parameters that are typed in."""
        form = read_form(request.query_params)
        wrong, counted = form.wrong, None
        if not wrong:
            try:
                counted = await asyncio.to_thread(count_scenes, self._hub.toml, form.sought)
            except ConfigError:
                raise
            except InputError as error:
                wrong = str(error)
        settings = {name: str(value) for name, value in form.sought.settings.items()}
        return await self._page(
            request, "scenes_count.html", counted=counted, wrong=wrong, form=form, settings=settings
        )

    async def sql(self, request: Request) -> Response:
        """Show the statement, what it found, and what was asked before."""
        person = await self._frame.need(request)
        sql, answer, wrong = "", None, ""
        if request.method == "POST":
            request.state.noted = True  # a question, not a change
            sql = str((await request.form()).get("sql", ""))
            answer, wrong = await self._answered(person.name, sql)
        past = await asyncio.to_thread(self._asked, person.name)
        if (number := _whole(request.query_params.get("again", ""))) is not None:
            again = next((one for one in past if one.number == number), None)
            if again is None:
                raise UnknownName("that statement is not in your history", "choose one that is")
            sql = again.sql
        part = request.method == "POST" and "hx-request" in request.headers
        return await self._page(
            request,
            "scenes_answer.html" if part else "scenes_sql.html",
            status=_status(request, wrong),
            sql=sql,
            answer=answer,
            wrong=wrong,
            past=past,
            tables=[] if part else await asyncio.to_thread(list_tables, self._hub.toml),
            examples=_EXAMPLES,
            longest=LONGEST,
        )

    async def forget(self, request: Request) -> Response:
        """Forget what the one who asks has asked."""
        person = await self._frame.need(request)

        def forget() -> None:
            with history(self._hub.toml) as notes:
                notes.forget(person.name)

        await asyncio.to_thread(forget)
        return RedirectResponse("/scenes/sql", 303)

    async def _page(self, request: Request, template: str, *, status: int = 200, **values: Any) -> Response:
        return await self._frame.page(request, template, status=status, **_WRITTEN, **values)

    async def _answered(self, person: str, sql: str) -> tuple[Answer | None, str]:
        if not sql.strip():
            return None, ""
        try:
            found = await asyncio.to_thread(ask_and_note, self._hub.toml, person, sql, _SQL_ROWS, self._hub.clock)
        except ConfigError:
            raise
        except InputError as error:
            return None, str(error)
        return found, ""

    def _asked(self, person: str) -> tuple[Asked, ...]:
        with history(self._hub.toml) as notes:
            return notes.asked(person)


def read_form(given: Mapping[str, str]) -> Form:
    """Read the filter of an address; what cannot be meant is told and not raised."""
    texts = {name: value.strip() for name, value in given.items() if value.strip()}
    wrong: list[str] = []

    def day(name: str) -> datetime.date | None:
        try:
            return datetime.date.fromisoformat(texts[name]) if name in texts else None
        except ValueError:
            wrong.append(f"{texts[name]!r} is no day; write it as 2026-11-20")
            return None

    def number(name: str) -> float | None:
        try:
            value = float(texts[name]) if name in texts else None
        except ValueError:
            value = math.nan
        if value is not None and not math.isfinite(value):
            wrong.append(f"{texts[name]!r} is no number")
            return None
        return value

    ranges = {name: (number(f"{name}.min"), number(f"{name}.max")) for name in RANGES}
    where = texts.get("where", "")
    if len(where) > _LONGEST_CONDITION or len(texts.get("rule", "")) > _LONGEST_CONDITION:
        wrong.append(f"a condition has at most {_LONGEST_CONDITION} characters here")
    sought = Sought(
        table=texts.get("table", SCENES),
        named=texts.get("named", ""),
        source=texts.get("source", ""),
        tag=texts.get("tag", ""),
        day_from=day("day_from"),
        day_to=day("day_to"),
        ranges={name: pair for name, pair in ranges.items() if pair != (None, None)},
        rule=texts.get("rule", ""),
        settings={name.removeprefix(_SET): value for name, value in texts.items() if name.startswith(_SET)},
        where=where,
        order=texts.get("order", ""),
        descending=texts.get("descending", "") == "yes",
    )
    return Form(texts, sought, "; ".join(wrong))


def _status(request: Request, wrong: str) -> int:
    """Return the status of a page that says what is wrong; a part of a page is drawn all the same."""
    return 422 if wrong and "hx-request" not in request.headers else 200


def _whole(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else None


def routes(hub: Hub, frame: Frame) -> list[BaseRoute]:
    """Return the routes of the pages."""
    pages = ScenePages(hub, frame)
    return [
        frame.at("/scenes", pages.scenes),
        frame.at("/scenes/rules", pages.rules),
        frame.at("/scenes/rules/count", pages.count),
        frame.at("/scenes/sql", pages.sql, methods=("GET", "POST")),
        frame.at("/scenes/sql/forget", pages.forget, methods=("POST",)),
        frame.at("/scenes/one/{scene:path}", pages.scene),
    ]
