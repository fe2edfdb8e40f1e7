"""Doors of runs and models: how far a run is, how its candidate stands, where a model comes from."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import msgspec
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from isthmus.app.people.person import Role
from isthmus.app.views.models import ModelDetails, ModelShown, Reign, list_models, list_reigns, show_model
from isthmus.app.views.runs import RunDetails, RunShown, find_report, list_runs, show_run
from isthmus.faces.http.answers import answer
from isthmus.faces.http.doors import HTML, JSON, Door, Nothing
from isthmus.faces.http.hub.hub import Hub
from isthmus.faces.http.hub.paging import Page, Paged, asked, key_of, page, part


class OfPipeline(Paged, frozen=True, forbid_unknown_fields=True):
    """Which part of a list; `pipeline` leaves out what is of others."""

    pipeline: Annotated[str, msgspec.Meta(max_length=200)] = ""


class RunDoors:
    """The endpoints."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    async def runs(self, request: Request) -> Response:
        """List runs."""
        given = asked(request, OfPipeline)
        before = key_of(given.after, str) or ""
        found = await asyncio.to_thread(list_runs, self._hub.toml, given.pipeline, given.limit + 1, before)
        return answer(page(found, given.limit, lambda one: one.id))

    async def run(self, request: Request) -> Response:
        """Show one run."""
        return answer(await asyncio.to_thread(show_run, self._hub.toml, request.path_params["run"]))

    async def report(self, request: Request) -> Response:
        """Send the report of a run."""
        run = request.path_params["run"]
        return report_file(await asyncio.to_thread(find_report, self._hub.toml, run), run)

    async def models(self, request: Request) -> Response:
        """List models."""
        given = asked(request, OfPipeline)
        before = key_of(given.after, str) or ""
        found = await asyncio.to_thread(list_models, self._hub.toml, given.pipeline, given.limit + 1, before)
        return answer(page(found, given.limit, lambda one: one.id))

    async def model(self, request: Request) -> Response:
        """Show one model."""
        return answer(await asyncio.to_thread(show_model, self._hub.toml, request.path_params["model"]))

    async def pipelines(self, request: Request) -> Response:
        """List the pipelines."""
        found = await asyncio.to_thread(list_reigns, self._hub.toml)
        ordered = sorted(found, key=lambda one: one.pipeline)
        return answer(part(ordered, asked(request, Paged), lambda one: one.pipeline))


def report_file(path: Any, run: str) -> Response:
    """Send a report to be kept: it has a style of its own, which the pages' content policy would not show."""
    return FileResponse(path, media_type="text/html", filename=f"{run}.html")


def doors(hub: Hub) -> list[Door]:
    """Return the doors of runs and models."""
    at, missing = RunDoors(hub), (404, 422)

    def reads(path: str, endpoint: Any, summary: str, kind: Any, query: type = Nothing) -> Door:
        return Door("GET", path, endpoint, summary, Role.VIEWER, query, good={200: {JSON: kind}}, bad=missing)

    return [
        reads("/v1/runs", at.runs, "List runs, newest first.", Page[RunShown], OfPipeline),
        reads("/v1/runs/{run}", at.run, "Show a run: steps, curves, figures, decision.", RunDetails),
        Door(
            "GET",
            "/v1/runs/{run}/report",
            at.report,
            "Get the report of a run that has ended, as a page of its own.",
            Role.VIEWER,
            good={200: {HTML: None}},
            bad=missing,
        ),
        reads("/v1/models", at.models, "List models, newest first.", Page[ModelShown], OfPipeline),
        reads(
            "/v1/models/{model}",
            at.model,
            "Show a model: its line, figures and what happened to it.",
            ModelDetails,
        ),
        reads(
            "/v1/pipelines",
            at.pipelines,
            "List the pipelines, each with its champion and the one before.",
            Page[Reign],
            Paged,
        ),
    ]
