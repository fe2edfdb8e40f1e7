"""A typed client of the API of a site, for programs: `Client`, and `AsyncClient` for asyncio."""

from __future__ import annotations

from isthmus.client.asynchronous import AsyncClient
from isthmus.client.blocking import Client
from isthmus.client.errors import ApiError, OperationFailed
from isthmus.client.shapes import Event, Operation, Parameter, Progress, Work

__all__ = [
    "ApiError",
    "AsyncClient",
    "Client",
    "Event",
    "Operation",
    "OperationFailed",
    "Parameter",
    "Progress",
    "Work",
]
