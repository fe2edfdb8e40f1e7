"""What there is to see of scenes. Drawn from the description of the doors, never changed by hand."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from datetime import date
from typing import Any, Literal

import msgspec

from isthmus.client.calls import AsyncSees, Sees, inside
from isthmus.client.see.tables import Column


class AgentDrawn(msgspec.Struct, frozen=True, kw_only=True):
    """One agent of a drawing, from its first step to its last; the four lists have one value a step."""

    id: str
    kind: str
    role: Literal["car", "cycle", "ego", "heavy", "other", "person"]
    length: float
    width: float
    first: int
    x: Sequence[float | None]
    y: Sequence[float | None]
    heading: Sequence[float | None]
    speed: Sequence[float | None]


class Alike(msgspec.Struct, frozen=True, kw_only=True):
    """A scene that is like another. `distance` is Euclidean, between scene vectors."""

    scene_id: str
    distance: float
    source: str
    day: date | None


class Drawing(msgspec.Struct, frozen=True, kw_only=True):
    """A scene as it is drawn: seen from above, turned so that the ego drives to the right at `moment`."""

    scene_id: str
    dt: float
    steps: int
    moment: int
    agents: Sequence[AgentDrawn]
    lanes: Sequence[Sequence[tuple[float, float]]]


class FieldShown(msgspec.Struct, frozen=True, kw_only=True):
    """One simple field of a scene. `value` is a text, number, truth, date, list of these, or None."""

    name: str
    value: Any
    unit: str
    about: str


class RuleHeld(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a rule with its usual parameters holds for a scene; None where a field that it needs is null."""

    name: str
    about: str
    condition: str
    holds: bool | None


class SceneRows(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a list of scenes, or of rows of another table."""

    items: Sequence[Mapping[str, Any]]
    next: str
    matched: int
    total: int
    columns: Sequence[Column]
    where: str
    version: int


class SceneShown(msgspec.Struct, frozen=True, kw_only=True):
    """One scene with everything that a person looks at."""

    scene_id: str
    day: date
    source: str
    fields: Sequence[FieldShown]
    rules: Sequence[RuleHeld]


class SeesScenes(Sees):
    """Calls of scenes, for the blocking client."""

    def scenes(
        self,
        *,
        limit: int | None = None,
        after: str | None = None,
        table: str | None = None,
        named: str | None = None,
        source: str | None = None,
        tag: str | None = None,
        day_from: date | None = None,
        day_to: date | None = None,
        rule: str | None = None,
        set: str | None = None,
        where: str | None = None,
        order: str | None = None,
        columns: str | None = None,
    ) -> SceneRows:
        """List scenes, or rows of another table, by a filter. Raises ApiError."""
        found: SceneRows = self._site.get(
            "/v1/scenes",
            SceneRows,
            limit=limit,
            after=after,
            table=table,
            named=named,
            source=source,
            tag=tag,
            day_from=day_from,
            day_to=day_to,
            rule=rule,
            set=set,
            where=where,
            order=order,
            columns=columns,
        )
        return found

    def scene_drawing(self, scene: str) -> Drawing:
        """Get what is drawn of a scene: agents and lanes, step by step. Raises ApiError."""
        found: Drawing = self._site.get(inside("/v1/scenes/{scene}/drawing", scene=scene), Drawing)
        return found

    def scene_similar(self, scene: str, *, count: int | None = None) -> Iterator[Alike]:
        """List the scenes most like one, the nearest first. Raises ApiError."""
        return self._site.pages(inside("/v1/scenes/{scene}/similar", scene=scene), Alike, count=count)

    def scene(self, scene: str) -> SceneShown:
        """Show a scene: its simple fields and the rules that hold. Raises ApiError."""
        found: SceneShown = self._site.get(inside("/v1/scenes/{scene}", scene=scene), SceneShown)
        return found


class AsyncSeesScenes(AsyncSees):
    """Calls of scenes, for asyncio."""

    async def scenes(
        self,
        *,
        limit: int | None = None,
        after: str | None = None,
        table: str | None = None,
        named: str | None = None,
        source: str | None = None,
        tag: str | None = None,
        day_from: date | None = None,
        day_to: date | None = None,
        rule: str | None = None,
        set: str | None = None,
        where: str | None = None,
        order: str | None = None,
        columns: str | None = None,
    ) -> SceneRows:
        """List scenes, or rows of another table, by a filter. Raises ApiError."""
        found: SceneRows = await self._site.get(
            "/v1/scenes",
            SceneRows,
            limit=limit,
            after=after,
            table=table,
            named=named,
            source=source,
            tag=tag,
            day_from=day_from,
            day_to=day_to,
            rule=rule,
            set=set,
            where=where,
            order=order,
            columns=columns,
        )
        return found

    async def scene_drawing(self, scene: str) -> Drawing:
        """Get what is drawn of a scene: agents and lanes, step by step. Raises ApiError."""
        found: Drawing = await self._site.get(inside("/v1/scenes/{scene}/drawing", scene=scene), Drawing)
        return found

    def scene_similar(self, scene: str, *, count: int | None = None) -> AsyncIterator[Alike]:
        """List the scenes most like one, the nearest first. Raises ApiError."""
        return self._site.pages(inside("/v1/scenes/{scene}/similar", scene=scene), Alike, count=count)

    async def scene(self, scene: str) -> SceneShown:
        """Show a scene: its simple fields and the rules that hold. Raises ApiError."""
        found: SceneShown = await self._site.get(inside("/v1/scenes/{scene}", scene=scene), SceneShown)
        return found
