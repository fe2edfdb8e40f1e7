"""What there is to see of rules. Drawn from the description of the doors, never changed by hand."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import date
from typing import Any

import msgspec

from isthmus.client.calls import AsyncSees, Sees


class Counted(msgspec.Struct, frozen=True, kw_only=True):
    """How many scenes a rule finds among those that the rest of a filter lets through, and what it means in
    words.
    """

    found: int
    of: int
    explanation: str
    table: str
    rule: str
    where: str


class RuleShown(msgspec.Struct, frozen=True, kw_only=True):
    """One rule.

    `own`: it is the site's own. `found` counts scenes; None where the OLAP lacks a field of it.
    """

    name: str
    about: str
    condition: str
    parameters: Sequence[RulesParameterShown]
    own: bool
    found: int | None
    of: int


class RulesParameterShown(msgspec.Struct, frozen=True, kw_only=True):
    """What may be chosen in a rule; `default` is a number, text, truth or date."""

    name: str
    default: Any
    unit: str
    about: str
    minimum: float | None = None
    maximum: float | None = None


class SeesRules(Sees):
    """Calls of rules, for the blocking client."""

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


class AsyncSeesRules(AsyncSees):
    """Calls of rules, for asyncio."""

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
