"""Calls of what there is to see at a site. Drawn from the description of its doors, never changed by hand."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import date
from typing import Any, Protocol

from isthmus.client.calls import inside
from isthmus.client.views import (
    ActShown,
    Alike,
    Asked,
    Counted,
    Drawing,
    Guide,
    KeyOut,
    ModelDetails,
    ModelShown,
    Overview,
    PersonShown,
    Proof,
    PublicationSeen,
    RecoverySeen,
    Reign,
    RoundSeen,
    RuleShown,
    RunDetails,
    RunShown,
    SceneRows,
    SceneShown,
    TableSeen,
    TableShown,
)


class _Site(Protocol):
    def get(self, path: str, kind: Any = Any, **parameters: Any) -> Any: ...

    def pages(self, path: str, kind: Any = Any, limit: int = 200, **parameters: Any) -> Iterator[Any]: ...


class _AsyncSite(Protocol):
    async def get(self, path: str, kind: Any = Any, **parameters: Any) -> Any: ...

    def pages(self, path: str, kind: Any = Any, limit: int = 200, **parameters: Any) -> AsyncIterator[Any]: ...


class Seeing:
    """What there is to see, for the blocking client."""

    def __init__(self, site: _Site) -> None:
        self._site = site

    def people(self) -> Iterator[PersonShown]:
        """List people, by name. Raises ApiError."""
        return self._site.pages("/v1/people", PersonShown)

    def person(self, name: str) -> PersonShown:
        """Show a person. Raises ApiError."""
        found: PersonShown = self._site.get(inside("/v1/people/{name}", name=name), PersonShown)
        return found

    def keys(self) -> Iterator[KeyOut]:
        """List API keys, revoked ones too; never their texts. Raises ApiError."""
        return self._site.pages("/v1/keys", KeyOut)

    def audit(self) -> Iterator[ActShown]:
        """List who changed what, newest first: all of it for an admin, else one's own. Raises ApiError."""
        return self._site.pages("/v1/audit", ActShown)

    def audit_proof(self, *, since: str | None = None) -> Proof:
        """Verify that no line of the audit log was removed or changed. Raises ApiError."""
        found: Proof = self._site.get("/v1/audit/proof", Proof, since=since)
        return found

    def tables(self) -> Iterator[TableShown]:
        """List the tables of the OLAP with their fields. Raises ApiError."""
        return self._site.pages("/v1/tables", TableShown)

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

    def rules(self) -> Iterator[RuleShown]:
        """List the rules, each with its parameters and how many scenes it finds. Raises ApiError."""
        return self._site.pages("/v1/rules", RuleShown)

    def rules_count(
        self,
        *,
        table: str | None = None,
        named: str | None = None,
        source: str | None = None,
        tag: str | None = None,
        day_from: date | None = None,
        day_to: date | None = None,
        rule: str | None = None,
        set: str | None = None,
        where: str | None = None,
    ) -> Counted:
        """Count the scenes that a rule, or a combination of rules, finds. Raises ApiError."""
        found: Counted = self._site.get(
            "/v1/rules/count",
            Counted,
            table=table,
            named=named,
            source=source,
            tag=tag,
            day_from=day_from,
            day_to=day_to,
            rule=rule,
            set=set,
            where=where,
        )
        return found

    def sql_history(self) -> Iterator[Asked]:
        """List the statements that you asked, newest first. Raises ApiError."""
        return self._site.pages("/v1/sql/history", Asked)

    def runs(self, *, pipeline: str | None = None) -> Iterator[RunShown]:
        """List runs, newest first. Raises ApiError."""
        return self._site.pages("/v1/runs", RunShown, pipeline=pipeline)

    def run(self, run: str) -> RunDetails:
        """Show a run: steps, curves, figures, decision. Raises ApiError."""
        found: RunDetails = self._site.get(inside("/v1/runs/{run}", run=run), RunDetails)
        return found

    def models(self, *, pipeline: str | None = None) -> Iterator[ModelShown]:
        """List models, newest first. Raises ApiError."""
        return self._site.pages("/v1/models", ModelShown, pipeline=pipeline)

    def model(self, model: str) -> ModelDetails:
        """Show a model: its line, figures and what happened to it. Raises ApiError."""
        found: ModelDetails = self._site.get(inside("/v1/models/{model}", model=model), ModelDetails)
        return found

    def pipelines(self) -> Iterator[Reign]:
        """List the pipelines, each with its champion and the one before. Raises ApiError."""
        return self._site.pages("/v1/pipelines", Reign)

    def overview(self) -> Overview:
        """See every site: how it stands, its alarms, and what flows between them. Raises ApiError."""
        found: Overview = self._site.get("/v1/overview", Overview)
        return found

    def recovery(self) -> RecoverySeen:
        """See how the pair stands: role, RPO, rounds, alarms. Raises ApiError."""
        found: RecoverySeen = self._site.get("/v1/recovery", RecoverySeen)
        return found

    def recovery_rounds(self) -> Iterator[RoundSeen]:
        """List rounds, newest first. Raises ApiError."""
        return self._site.pages("/v1/recovery/rounds", RoundSeen)

    def recovery_publications(self) -> Iterator[PublicationSeen]:
        """List publications. Raises ApiError."""
        return self._site.pages("/v1/recovery/publications", PublicationSeen)

    def recovery_tables(self) -> Iterator[TableSeen]:
        """List the published tables. Raises ApiError."""
        return self._site.pages("/v1/recovery/tables", TableSeen)

    def recovery_act(self, act: str) -> Guide:
        """See what a switchover, a failover or a failback needs, and whether it is possible now.

        Raises ApiError.
        """
        found: Guide = self._site.get(inside("/v1/recovery/acts/{act}", act=act), Guide)
        return found


class AsyncSeeing:
    """What there is to see, for asyncio."""

    def __init__(self, site: _AsyncSite) -> None:
        self._site = site

    def people(self) -> AsyncIterator[PersonShown]:
        """List people, by name. Raises ApiError."""
        return self._site.pages("/v1/people", PersonShown)

    async def person(self, name: str) -> PersonShown:
        """Show a person. Raises ApiError."""
        found: PersonShown = await self._site.get(inside("/v1/people/{name}", name=name), PersonShown)
        return found

    def keys(self) -> AsyncIterator[KeyOut]:
        """List API keys, revoked ones too; never their texts. Raises ApiError."""
        return self._site.pages("/v1/keys", KeyOut)

    def audit(self) -> AsyncIterator[ActShown]:
        """List who changed what, newest first: all of it for an admin, else one's own. Raises ApiError."""
        return self._site.pages("/v1/audit", ActShown)

    async def audit_proof(self, *, since: str | None = None) -> Proof:
        """Verify that no line of the audit log was removed or changed. Raises ApiError."""
        found: Proof = await self._site.get("/v1/audit/proof", Proof, since=since)
        return found

    def tables(self) -> AsyncIterator[TableShown]:
        """List the tables of the OLAP with their fields. Raises ApiError."""
        return self._site.pages("/v1/tables", TableShown)

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

    def rules(self) -> AsyncIterator[RuleShown]:
        """List the rules, each with its parameters and how many scenes it finds. Raises ApiError."""
        return self._site.pages("/v1/rules", RuleShown)

    async def rules_count(
        self,
        *,
        table: str | None = None,
        named: str | None = None,
        source: str | None = None,
        tag: str | None = None,
        day_from: date | None = None,
        day_to: date | None = None,
        rule: str | None = None,
        set: str | None = None,
        where: str | None = None,
    ) -> Counted:
        """Count the scenes that a rule, or a combination of rules, finds. Raises ApiError."""
        found: Counted = await self._site.get(
            "/v1/rules/count",
            Counted,
            table=table,
            named=named,
            source=source,
            tag=tag,
            day_from=day_from,
            day_to=day_to,
            rule=rule,
            set=set,
            where=where,
        )
        return found

    def sql_history(self) -> AsyncIterator[Asked]:
        """List the statements that you asked, newest first. Raises ApiError."""
        return self._site.pages("/v1/sql/history", Asked)

    def runs(self, *, pipeline: str | None = None) -> AsyncIterator[RunShown]:
        """List runs, newest first. Raises ApiError."""
        return self._site.pages("/v1/runs", RunShown, pipeline=pipeline)

    async def run(self, run: str) -> RunDetails:
        """Show a run: steps, curves, figures, decision. Raises ApiError."""
        found: RunDetails = await self._site.get(inside("/v1/runs/{run}", run=run), RunDetails)
        return found

    def models(self, *, pipeline: str | None = None) -> AsyncIterator[ModelShown]:
        """List models, newest first. Raises ApiError."""
        return self._site.pages("/v1/models", ModelShown, pipeline=pipeline)

    async def model(self, model: str) -> ModelDetails:
        """Show a model: its line, figures and what happened to it. Raises ApiError."""
        found: ModelDetails = await self._site.get(inside("/v1/models/{model}", model=model), ModelDetails)
        return found

    def pipelines(self) -> AsyncIterator[Reign]:
        """List the pipelines, each with its champion and the one before. Raises ApiError."""
        return self._site.pages("/v1/pipelines", Reign)

    async def overview(self) -> Overview:
        """See every site: how it stands, its alarms, and what flows between them. Raises ApiError."""
        found: Overview = await self._site.get("/v1/overview", Overview)
        return found

    async def recovery(self) -> RecoverySeen:
        """See how the pair stands: role, RPO, rounds, alarms. Raises ApiError."""
        found: RecoverySeen = await self._site.get("/v1/recovery", RecoverySeen)
        return found

    def recovery_rounds(self) -> AsyncIterator[RoundSeen]:
        """List rounds, newest first. Raises ApiError."""
        return self._site.pages("/v1/recovery/rounds", RoundSeen)

    def recovery_publications(self) -> AsyncIterator[PublicationSeen]:
        """List publications. Raises ApiError."""
        return self._site.pages("/v1/recovery/publications", PublicationSeen)

    def recovery_tables(self) -> AsyncIterator[TableSeen]:
        """List the published tables. Raises ApiError."""
        return self._site.pages("/v1/recovery/tables", TableSeen)

    async def recovery_act(self, act: str) -> Guide:
        """See what a switchover, a failover or a failback needs, and whether it is possible now.

        Raises ApiError.
        """
        found: Guide = await self._site.get(inside("/v1/recovery/acts/{act}", act=act), Guide)
        return found
