"""The models of a site: their states, where each comes from, what happened to it, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isthmus.app.views.opening import has_state, opened
from isthmus.app.views.runs import Figure, figures_of
from isthmus.core.errors import UnknownName

if TYPE_CHECKING:
    from isthmus.loop.release.registry import Brief, Registry

_LONGEST_LINE = 200


@dataclass(frozen=True, slots=True)
class ModelShown:
    """One model. `state` is candidate, champion, retired, rejected or withdrawn; `parent` what it started from.

    `scenes` is how many it was trained on, chosen by `rules` from a version of `table`; `folder` is its place.
    """

    id: str
    pipeline: str
    state: str
    run: str
    created: datetime
    mode: str
    parent: str
    scenes: int
    rules: tuple[str, ...]
    table: str
    version: int
    id_list: str
    id_list_digest: str
    folder: str
    manifest: str
    decision: str


@dataclass(frozen=True, slots=True)
class EventShown:
    """One thing that happened to a model."""

    event: str
    source: str
    target: str
    at: datetime
    why: str


@dataclass(frozen=True, slots=True)
class ModelDetails:
    """One model with its line: `ancestors` from its parent to the first, `children` what was trained from it."""

    model: ModelShown
    ancestors: tuple[ModelShown, ...]
    children: tuple[ModelShown, ...]
    events: tuple[EventShown, ...]
    figures: tuple[Figure, ...]
    settings: Mapping[str, Any]
    digests: Mapping[str, str]
    software: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Reign:
    """Who is champion of a pipeline, and which model a rollback would bring back; empty for none."""

    pipeline: str
    champion: str
    before: str


def list_models(toml: Path, pipeline: str = "", limit: int = 50, before: str = "") -> tuple[ModelShown, ...]:
    """List models, newest first; with `before` those that were entered before that one. Raises UnknownName."""
    with opened(toml) as site:
        if pipeline and pipeline not in site.config.pipelines:
            raise UnknownName.among("pipeline", pipeline, site.config.pipelines)
        if not has_state(site):
            return ()
        found = site.registry.briefs(pipeline or None, limit, before or None)
        return tuple(_shown(model) for model in found)


def show_model(toml: Path, model_id: str) -> ModelDetails:
    """Show one model. Raises UnknownName with the nearest."""
    with opened(toml) as site:
        if not has_state(site):
            raise UnknownName.among("model", model_id, ())
        model = site.registry.get(model_id)
        brief = site.registry.brief(model.model_id)
        assert brief is not None
        return ModelDetails(
            _shown(brief),
            _ancestors(brief, site.registry),
            tuple(_shown(one) for one in site.registry.briefs(parent=model_id)),
            tuple(
                EventShown(one.event, one.source, one.target, datetime.fromisoformat(one.at), one.why)
                for one in site.registry.history(model_id)
            ),
            tuple(figures_of(model.card.measures)),
            model.card.settings,
            model.card.digests,
            model.card.software,
        )


def list_reigns(toml: Path) -> tuple[Reign, ...]:
    """Say for each pipeline of the site who is champion and who was before."""
    with opened(toml) as site:
        if not has_state(site):
            return tuple(Reign(name, "", "") for name in site.config.pipelines)
        return tuple(Reign(name, *site.registry.reigning(name)) for name in site.config.pipelines)


def _ancestors(model: Brief, registry: Registry) -> tuple[ModelShown, ...]:
    found: list[ModelShown] = []
    seen = {model.model_id}
    at = registry.brief(model.parent)
    while at is not None and at.model_id not in seen and len(found) < _LONGEST_LINE:
        seen.add(at.model_id)
        found.append(_shown(at))
        at = registry.brief(at.parent)
    return tuple(found)


def _shown(model: Brief) -> ModelShown:
    from isthmus.app.mining import plain

    return ModelShown(
        model.model_id,
        model.pipeline,
        model.state,
        model.run_id,
        datetime.fromisoformat(model.created_at),
        model.mode,
        model.parent,
        model.id_count,
        model.rules,
        model.table,
        model.version,
        plain(model.id_list),
        model.id_list_digest,
        plain(model.folder),
        model.manifest,
        model.decision,
    )
