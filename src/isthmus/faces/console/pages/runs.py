"""The pages of runs: how far each is, curves, candidate against champion, decision, and the models."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import BaseRoute

from isthmus.app.views.models import list_models, list_reigns, show_model
from isthmus.app.views.runs import (
    Figure,
    RunDetails,
    Training,
    find_report,
    list_pipelines,
    list_runs,
    measures,
    show_run,
)
from isthmus.faces.console.cells import cell, setting_list
from isthmus.faces.console.frame import Frame
from isthmus.faces.http.hub.hub import Hub

if TYPE_CHECKING:
    from isthmus.loop.report.figures import Table

_AT_ONCE = 30
_STATES: Mapping[str, str] = {
    "released": "done",
    "offered": "waiting",
    "kept": "",
    "cancelled": "",
    "champion": "done",
    "candidate": "waiting",
    "rejected": "failed",
}
_WRITTEN: Mapping[str, Any] = {"cell": cell, "setting_list": setting_list, "state_kinds": _STATES}


@dataclass(frozen=True, slots=True)
class Bar:
    """One model's figure on one slice, as a part of the longest."""

    model: str
    share: float


@dataclass(frozen=True, slots=True)
class Slice:
    """One line of a metric's slices: those that share their figures, and the bars of its models."""

    names: tuple[str, ...]
    value: str
    count: str
    others: Sequence[Any]
    bars: tuple[Bar, ...]


@dataclass(frozen=True, slots=True)
class Sliced:
    """One metric over all slices. `models` are the heads of the other models' columns."""

    metric: str
    unit: str
    models: tuple[str, ...]
    slices: tuple[Slice, ...]


class RunPages:
    """The endpoints."""

    def __init__(self, hub: Hub, frame: Frame) -> None:
        self._hub, self._frame = hub, frame

    async def runs(self, request: Request) -> Response:
        """List runs, and who reigns in each pipeline."""
        toml, query = self._hub.toml, request.query_params
        pipeline, after = query.get("pipeline", ""), query.get("after", "")
        found = await asyncio.to_thread(list_runs, toml, pipeline, _AT_ONCE + 1, after)
        shown = found[:_AT_ONCE]
        return await self._page(
            request,
            "runs.html",
            runs=shown,
            next=shown[-1].id if len(found) > len(shown) else "",
            reigns=await asyncio.to_thread(list_reigns, toml),
            pipelines=await asyncio.to_thread(list_pipelines, toml),
            pipeline=pipeline,
        )

    async def run(self, request: Request) -> Response:
        """Show one run."""
        details = await asyncio.to_thread(show_run, self._hub.toml, request.path_params["run"])
        return await self._page(request, "runs_one.html", **await asyncio.to_thread(_drawn, details))

    async def progress(self, request: Request) -> Response:
        """Draw how far a run is; once its state is another, the whole page is asked for anew."""
        details = await asyncio.to_thread(show_run, self._hub.toml, request.path_params["run"])
        response = await self._page(request, "runs_progress.html", **_going(details))
        seen = request.query_params.get("state", details.run.state)
        if seen != details.run.state:
            response.headers["hx-refresh"] = "true"
        return response

    async def curves(self, request: Request) -> Response:
        """Draw how the models of a run learn."""
        details = await asyncio.to_thread(show_run, self._hub.toml, request.path_params["run"])
        return await self._page(request, "runs_curves.html", **_going(details))

    async def report(self, request: Request) -> Response:
        """Send the report of a run, to be kept."""
        run = request.path_params["run"]
        path = await asyncio.to_thread(find_report, self._hub.toml, run)
        return FileResponse(path, media_type="text/html", filename=f"{run}.html")

    async def models(self, request: Request) -> Response:
        """List models."""
        toml, query = self._hub.toml, request.query_params
        pipeline, after = query.get("pipeline", ""), query.get("after", "")
        found = await asyncio.to_thread(list_models, toml, pipeline, _AT_ONCE + 1, after)
        shown = found[:_AT_ONCE]
        return await self._page(
            request,
            "runs_models.html",
            models=shown,
            next=shown[-1].id if len(found) > len(shown) else "",
            reigns=await asyncio.to_thread(list_reigns, toml),
        )

    async def model(self, request: Request) -> Response:
        """Show one model."""
        details = await asyncio.to_thread(show_model, self._hub.toml, request.path_params["model"])
        reigns = await asyncio.to_thread(list_reigns, self._hub.toml)
        overall, sliced = await asyncio.to_thread(_compared, details.figures)
        return await self._page(
            request, "runs_model.html", details=details, reigns=reigns, overall=overall, sliced=sliced
        )

    async def _page(self, request: Request, template: str, **values: Any) -> Response:
        return await self._frame.page(request, template, **_WRITTEN, **values)


def _going(details: RunDetails) -> dict[str, Any]:
    return {"details": details, "run": details.run, "now": _now(details), "charts": _charts(details.trainings)}


def _drawn(details: RunDetails) -> dict[str, Any]:
    overall, sliced = _compared(details.offline)
    driven, driven_sliced = _compared(details.simulation)
    return _going(details) | {
        "overall": overall,
        "sliced": sliced,
        "driven": driven,
        "driven_sliced": driven_sliced,
    }


def _now(details: RunDetails) -> int:
    """Say at which step of its way a run is."""
    return details.steps.index(details.run.state) if details.run.state in details.steps else len(details.steps)


def _charts(trainings: Sequence[Training]) -> list[dict[str, Any]]:
    """Return for each training the numbers of its epochs and its curves."""
    found = []
    for one in trainings:
        epochs = max(len(one.train_loss), len(one.loss), len(one.ade))
        found.append(
            {
                "training": one,
                "epochs": list(range(1, epochs + 1)),
                "train_loss": _filled(one.train_loss, epochs),
                "loss": _filled(one.loss, epochs),
                "ade": _filled(one.ade, epochs),
            }
        )
    return found


def _filled(values: Sequence[float | None], count: int) -> list[float | None]:
    return [*values, *[None] * (count - len(values))]


def _compared(figures: Sequence[Figure]) -> tuple[Table | None, list[Sliced]]:
    """Set the candidate's figures against those of the other models, overall and by slice."""
    if not figures:
        return None, []
    from isthmus.loop.report import figures as told

    found = measures(figures)
    by_place = {(one.metric, one.part, one.model): one.value for one in figures}
    sliced = []
    for table in told.by_slice(found):
        longest = max(
            (one.value or 0.0 for one in figures if one.metric == table.lines[0].metric and one.part != "overall"),
            default=0.0,
        )
        slices = tuple(
            Slice(
                line.slices,
                line.value,
                line.count,
                line.others,
                _bars(by_place, line.metric, line.slices[0], table.models, longest),
            )
            for line in table.lines
        )
        sliced.append(Sliced(table.lines[0].metric, table.lines[0].unit, table.models, slices))
    return told.table(found), sliced


def _bars(
    known: Mapping[tuple[str, str, str], float | None],
    metric: str,
    part: str,
    models: Sequence[str],
    longest: float,
) -> tuple[Bar, ...]:
    found = []
    for model in ("candidate", *models):
        value = known.get((metric, part, model))
        if value is not None and value >= 0 and longest > 0:
            found.append(Bar(model, min(value / longest, 1.0)))
    return tuple(found)


def routes(hub: Hub, frame: Frame) -> list[BaseRoute]:
    """Return the routes of the pages."""
    pages = RunPages(hub, frame)
    return [
        frame.at("/runs", pages.runs),
        frame.at("/runs/models", pages.models),
        frame.at("/runs/models/{model}", pages.model),
        frame.at("/runs/one/{run}", pages.run),
        frame.at("/runs/one/{run}/progress", pages.progress),
        frame.at("/runs/one/{run}/curves", pages.curves),
        frame.at("/runs/one/{run}/report", pages.report),
    ]
