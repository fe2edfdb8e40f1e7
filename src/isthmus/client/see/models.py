"""What there is to see of models. Drawn from the description of the doors, never changed by hand."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from isthmus.client.calls import AsyncSees, Sees, inside
from isthmus.client.see.runs import RunsFigure


class EventShown(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happened to a model."""

    event: str
    source: str
    target: str
    at: str
    why: str


class ModelDetails(msgspec.Struct, frozen=True, kw_only=True):
    """One model with its line: `ancestors` from its parent to the first, `children` what was trained from it."""

    model: ModelShown
    ancestors: Sequence[ModelShown]
    children: Sequence[ModelShown]
    events: Sequence[EventShown]
    figures: Sequence[RunsFigure]
    settings: Mapping[str, Any]
    digests: Mapping[str, str]
    software: Mapping[str, str]


class ModelShown(msgspec.Struct, frozen=True, kw_only=True):
    """One model.

    `state` is candidate, champion, retired, rejected or withdrawn; `parent` what it started from.
    """

    id: str
    pipeline: str
    state: str
    run: str
    created: str
    mode: str
    parent: str
    scenes: int
    rules: Sequence[str]
    table: str
    version: int
    id_list: str
    id_list_digest: str
    folder: str
    manifest: str
    decision: str


class SeesModels(Sees):
    """Calls of models, for the blocking client."""

    def models(self, *, pipeline: str | None = None) -> Iterator[ModelShown]:
        """List models, newest first. Raises ApiError."""
        return self._site.pages("/v1/models", ModelShown, pipeline=pipeline)

    def model(self, model: str) -> ModelDetails:
        """Show a model: its line, figures and what happened to it. Raises ApiError."""
        found: ModelDetails = self._site.get(inside("/v1/models/{model}", model=model), ModelDetails)
        return found


class AsyncSeesModels(AsyncSees):
    """Calls of models, for asyncio."""

    def models(self, *, pipeline: str | None = None) -> AsyncIterator[ModelShown]:
        """List models, newest first. Raises ApiError."""
        return self._site.pages("/v1/models", ModelShown, pipeline=pipeline)

    async def model(self, model: str) -> ModelDetails:
        """Show a model: its line, figures and what happened to it. Raises ApiError."""
        found: ModelDetails = await self._site.get(inside("/v1/models/{model}", model=model), ModelDetails)
        return found
