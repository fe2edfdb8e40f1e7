"""What the buttons of the pages post to: an operation is begun, and its work shown."""

from __future__ import annotations

import asyncio

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute

from isthmus.app.works.seeing import seen
from isthmus.core.errors import InputError, UnknownName
from isthmus.faces.console.frame import Frame
from isthmus.faces.http.hub.hub import Hub
from isthmus.faces.http.hub.operations import given


def routes(hub: Hub, frame: Frame) -> list[BaseRoute]:
    """Return the route of all buttons."""

    async def act(request: Request) -> Response:
        """Begin an operation: answers with the row of its work, or leads to its page without scripts."""
        operations = hub.works.operations()
        names = {name.replace(" ", "-"): name for name in operations}
        dashed = request.path_params["operation"]
        if dashed not in names:
            raise UnknownName.among("operation", dashed, names)
        name = names[dashed]
        person = await frame.need(request, operations[name].role)
        _confirmed(await request.form(), needed=name in hub.grave)
        arguments, files = await given(request)
        work = await asyncio.to_thread(hub.works.start, name, arguments, person, files)
        place = f"/works/{work.id}"
        if "hx-request" not in request.headers:
            return RedirectResponse(place, 303)
        response = await frame.page(request, "work_row.html", work=seen(work, operations, person))
        response.headers["location"] = place  # for the audit log
        return response

    return [frame.at("/act/{operation}", act, methods=("POST",))]


def _confirmed(form: FormData, *, needed: bool) -> None:
    """Judge the word that was typed to confirm. Raises InputError where the form asked for another one."""
    asked, typed = form.get("confirms", ""), form.get("confirm", "")
    if not asked and not needed:
        return
    if not isinstance(asked, str) or not isinstance(typed, str) or not asked or typed.strip() != asked:
        raise InputError("the word to confirm was not typed as it is", "type it, and nothing else")
