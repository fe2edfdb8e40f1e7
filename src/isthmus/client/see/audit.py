"""What there is to see of audit. Drawn from the description of the doors, never changed by hand."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence

import msgspec

from isthmus.client.calls import AsyncSees, Sees


class ActShown(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the audit log. `digest` continues that of the line before."""

    number: int
    at: str
    who: str
    act: str
    subject: str
    outcome: str
    where: str
    digest: str


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the audit log is whole. Note `head` elsewhere: with it a log that was written anew shows."""

    lines: int
    head: str
    faults: Sequence[str]


class SeesAudit(Sees):
    """Calls of audit, for the blocking client."""

    def audit(self) -> Iterator[ActShown]:
        """List who changed what, newest first: all of it for an admin, else one's own. Raises ApiError."""
        return self._site.pages("/v1/audit", ActShown)

    def audit_proof(self, *, since: str | None = None) -> Proof:
        """Verify that no line of the audit log was removed or changed. Raises ApiError."""
        found: Proof = self._site.get("/v1/audit/proof", Proof, since=since)
        return found


class AsyncSeesAudit(AsyncSees):
    """Calls of audit, for asyncio."""

    def audit(self) -> AsyncIterator[ActShown]:
        """List who changed what, newest first: all of it for an admin, else one's own. Raises ApiError."""
        return self._site.pages("/v1/audit", ActShown)

    async def audit_proof(self, *, since: str | None = None) -> Proof:
        """Verify that no line of the audit log was removed or changed. Raises ApiError."""
        found: Proof = await self._site.get("/v1/audit/proof", Proof, since=since)
        return found
