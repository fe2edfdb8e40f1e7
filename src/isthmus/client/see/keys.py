"""What there is to see of keys. Drawn from the description of the doors, never changed by hand."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Literal

import msgspec

from isthmus.client.calls import AsyncSees, Sees


class KeyOut(msgspec.Struct, frozen=True, kw_only=True):
    """An API key, never its text; `prefix` are its first signs."""

    name: str
    prefix: str
    role: Literal["admin", "operator", "viewer"]
    made: str
    made_by: str
    expires: str | None = None
    used: str | None = None
    revoked: str | None = None


class SeesKeys(Sees):
    """Calls of keys, for the blocking client."""

    def keys(self) -> Iterator[KeyOut]:
        """List API keys, revoked ones too; never their texts. Raises ApiError."""
        return self._site.pages("/v1/keys", KeyOut)


class AsyncSeesKeys(AsyncSees):
    """Calls of keys, for asyncio."""

    def keys(self) -> AsyncIterator[KeyOut]:
        """List API keys, revoked ones too; never their texts. Raises ApiError."""
        return self._site.pages("/v1/keys", KeyOut)
