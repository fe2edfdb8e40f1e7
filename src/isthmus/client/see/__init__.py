"""Calls of all that there is to see at a site. Drawn from the description of the doors, never changed by hand."""

from __future__ import annotations

from isthmus.client.see.acquired import AsyncSeesAcquired, SeesAcquired
from isthmus.client.see.audit import AsyncSeesAudit, SeesAudit
from isthmus.client.see.batches import AsyncSeesBatches, SeesBatches
from isthmus.client.see.devices import AsyncSeesDevices, SeesDevices
from isthmus.client.see.environments import AsyncSeesEnvironments, SeesEnvironments
from isthmus.client.see.galleries import AsyncSeesGalleries, SeesGalleries
from isthmus.client.see.gate import AsyncSeesGate, SeesGate
from isthmus.client.see.grants import AsyncSeesGrants, SeesGrants
from isthmus.client.see.images import AsyncSeesImages, SeesImages
from isthmus.client.see.keys import AsyncSeesKeys, SeesKeys
from isthmus.client.see.models import AsyncSeesModels, SeesModels
from isthmus.client.see.overview import AsyncSeesOverview, SeesOverview
from isthmus.client.see.people import AsyncSeesPeople, SeesPeople
from isthmus.client.see.pipelines import AsyncSeesPipelines, SeesPipelines
from isthmus.client.see.published import AsyncSeesPublished, SeesPublished
from isthmus.client.see.quarantine import AsyncSeesQuarantine, SeesQuarantine
from isthmus.client.see.recovery import AsyncSeesRecovery, SeesRecovery
from isthmus.client.see.requests import AsyncSeesRequests, SeesRequests
from isthmus.client.see.rules import AsyncSeesRules, SeesRules
from isthmus.client.see.runs import AsyncSeesRuns, SeesRuns
from isthmus.client.see.scenes import AsyncSeesScenes, SeesScenes
from isthmus.client.see.sql import AsyncSeesSql, SeesSql
from isthmus.client.see.tables import AsyncSeesTables, SeesTables


class Seeing(
    SeesPeople,
    SeesKeys,
    SeesAudit,
    SeesOverview,
    SeesBatches,
    SeesRequests,
    SeesAcquired,
    SeesEnvironments,
    SeesImages,
    SeesGalleries,
    SeesDevices,
    SeesPublished,
    SeesGrants,
    SeesGate,
    SeesQuarantine,
    SeesTables,
    SeesScenes,
    SeesRules,
    SeesSql,
    SeesRuns,
    SeesModels,
    SeesPipelines,
    SeesRecovery,
):
    """What there is to see, for the blocking client."""


class AsyncSeeing(
    AsyncSeesPeople,
    AsyncSeesKeys,
    AsyncSeesAudit,
    AsyncSeesOverview,
    AsyncSeesBatches,
    AsyncSeesRequests,
    AsyncSeesAcquired,
    AsyncSeesEnvironments,
    AsyncSeesImages,
    AsyncSeesGalleries,
    AsyncSeesDevices,
    AsyncSeesPublished,
    AsyncSeesGrants,
    AsyncSeesGate,
    AsyncSeesQuarantine,
    AsyncSeesTables,
    AsyncSeesScenes,
    AsyncSeesRules,
    AsyncSeesSql,
    AsyncSeesRuns,
    AsyncSeesModels,
    AsyncSeesPipelines,
    AsyncSeesRecovery,
):
    """What there is to see, for asyncio."""
