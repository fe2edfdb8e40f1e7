"""All doors in one table: where, who, what goes in, what comes out. Routes and the OpenAPI page follow it."""

from __future__ import annotations

from isthmus.acquire.ports import Batch, Claimed, Event, Held
from isthmus.acquire.request import Wish
from isthmus.faces.http.acquire import shapes
from isthmus.faces.http.acquire.agents import AgentDoors
from isthmus.faces.http.acquire.clients import ClientDoors
from isthmus.faces.http.acquire.events import EventDoors
from isthmus.faces.http.acquire.guard import ANYBODY, ASKS, FETCHES, RULES, SEES
from isthmus.faces.http.acquire.site import SiteDoors
from isthmus.faces.http.doors import BODY, BYTES, EVENTS, FORM, HTML, JSON, LINES, TABLE, TEXT, Door


def all_doors(clients: ClientDoors, agents: AgentDoors, events: EventDoors, site: SiteDoors) -> tuple[Door, ...]:
    """List every door."""
    return (
        *_of_batches(clients),
        *_of_requests(clients),
        *_of_images(clients),
        *_of_events(events),
        *_of_agents(agents),
        *_of_sessions(site),
        *_of_records(site),
        *_of_keys(site),
        *_of_the_server(site),
    )


def _of_batches(clients: ClientDoors) -> tuple[Door, ...]:
    return (
        Door(
            "POST",
            "/v1/acquisitions",
            clients.ask,
            "Ask for images: one request, a list, JSON lines or a table, up to 100,000.",
            ASKS,
            shapes.Asked,
            {JSON: Wish | list[Wish], LINES: None, TABLE: None, FORM: None},
            good={202: {JSON: shapes.Taken}},
            bad=BODY,
            headers=("Idempotency-Key", "X-Request-ID"),
        ),
        Door(
            "GET",
            "/v1/batches",
            clients.batches,
            "List batches, newest first.",
            SEES,
            shapes.WhichBatches,
            good={200: {JSON: list[Batch]}},
            bad=(404, 422),
        ),
        Door(
            "GET",
            "/v1/batches/{batch}",
            clients.batch,
            "Show one batch as it stands.",
            SEES,
            good={200: {JSON: Batch}},
            bad=(404, 422),
        ),
        *(
            Door(
                "POST",
                f"/v1/batches/{{batch}}/{step}",
                clients.step(step),
                about,
                ASKS,
                bodies={JSON: shapes.Some} if step == "retry" else {},
                body_needed=False,
                good={200: {JSON: shapes.Changed}},
                bad=(400, 404, 408, 413, 415, 422),
            )
            for step, about in (
                ("cancel", "Cancel what has not ended."),
                ("pause", "Lease none of a batch's requests from now on."),
                ("resume", "Go on with a batch."),
                ("retry", "Try again only what failed or expired: all of it, or the requests named."),
            )
        ),
    )


def _of_requests(clients: ClientDoors) -> tuple[Door, ...]:
    return (
        Door(
            "GET",
            "/v1/requests",
            clients.requests,
            "List requests.",
            SEES,
            shapes.WhichRequests,
            good={200: {JSON: list[shapes.Shown]}},
            bad=(404, 422),
        ),
        Door(
            "GET",
            "/v1/requests/{request:int}",
            clients.request,
            "Show one request.",
            SEES,
            good={200: {JSON: shapes.Shown}},
            bad=(404, 422),
        ),
    )


def _of_images(clients: ClientDoors) -> tuple[Door, ...]:
    images = {"image/jpeg": None, "image/png": None, "image/webp": None, BYTES: None}
    return (
        Door(
            "GET",
            "/v1/images/{digest}",
            clients.image,
            "Get an image as it is stored.",
            SEES,
            good={200: images, 206: images, 304: {}},
            bad=(404, 416, 422),
        ),
        Door(
            "GET",
            "/v1/images/{digest}/thumbnail",
            clients.thumbnail,
            "Get an image small, as JPEG.",
            SEES,
            shapes.Edge,
            good={200: {"image/jpeg": None}, 206: {"image/jpeg": None}, 304: {}},
            bad=(404, 416, 422),
        ),
    )


def _of_events(events: EventDoors) -> tuple[Door, ...]:
    return (
        Door(
            "GET",
            "/v1/events",
            events.stream,
            "Watch what ends, as server-sent events: id, event (done, failed, cancelled, expired), data (Event).",
            SEES,
            shapes.WhichEvents,
            good={200: {EVENTS: Event}},
            bad=(404, 422),
            headers=("Last-Event-ID",),
        ),
    )


def _of_agents(agents: AgentDoors) -> tuple[Door, ...]:
    return (
        Door(
            "POST",
            "/v1/agent/claim",
            agents.claim,
            "Lease tasks, waiting for the first.",
            FETCHES,
            bodies={JSON: shapes.Claim},
            good={200: {JSON: Claimed}},
            bad=BODY,
        ),
        Door(
            "POST",
            "/v1/agent/beat",
            agents.beat,
            "Prolong leases; the answer names those that are lost.",
            FETCHES,
            bodies={JSON: shapes.Mine},
            good={200: {JSON: list[Held]}},
            bad=BODY,
        ),
        Door(
            "POST",
            "/v1/agent/release",
            agents.release,
            "Give leases back.",
            FETCHES,
            bodies={JSON: shapes.Mine},
            good={200: {JSON: shapes.Released}},
            bad=BODY,
        ),
        Door(
            "POST",
            "/v1/deliveries/{token}",
            agents.deliver,
            "Deliver results: u32 length of the head, head (JSON), contents; signed as Standard Webhooks are.",
            bodies={BYTES: None},
            good={200: {JSON: shapes.Verdicts}},
            bad=(400, 401, 403, 408, 413, 422),
            headers=("webhook-id", "webhook-timestamp", "webhook-signature", "isthmus-digest"),
        ),
    )


def _of_sessions(site: SiteDoors) -> tuple[Door, ...]:
    return (
        Door("GET", "/v1/me", site.me, "Tell who asks.", ANYBODY, good={200: {JSON: shapes.Me}}),
        Door(
            "POST",
            "/v1/session",
            site.log_in,
            "Begin a session of the page by a key.",
            bodies={JSON: shapes.LogIn},
            good={200: {JSON: shapes.Me}},
            bad=(*BODY, 401),
        ),
        Door("DELETE", "/v1/session", site.log_out, "End the session.", good={204: {}}),
    )


def _of_records(site: SiteDoors) -> tuple[Door, ...]:
    return (
        Door(
            "GET",
            "/v1/environments",
            site.environments,
            "Show how much lies where, and which agents were heard of.",
            SEES,
            good={200: {JSON: list[shapes.EnvironmentShown]}},
            bad=(422,),
        ),
        Door(
            "GET",
            "/v1/audit",
            site.audit,
            "Show who did what.",
            RULES,
            shapes.WhichActs,
            good={200: {JSON: list[shapes.AuditShown]}},
            bad=(422,),
        ),
    )


def _of_keys(site: SiteDoors) -> tuple[Door, ...]:
    return (
        Door(
            "GET",
            "/v1/keys",
            site.keys,
            "Show all API keys; never their texts.",
            RULES,
            good={200: {JSON: list[shapes.KeyShown]}},
            bad=(422,),
        ),
        Door(
            "POST",
            "/v1/keys",
            site.make_key,
            "Make an API key; its text is told this once.",
            RULES,
            bodies={JSON: shapes.NewKey},
            good={201: {JSON: shapes.MadeKey}},
            bad=(*BODY, 409),
        ),
        Door(
            "DELETE",
            "/v1/keys/{name}",
            site.revoke_key,
            "Let a key open nothing any more.",
            RULES,
            good={204: {}},
            bad=(404, 422),
        ),
    )


def _of_the_server(site: SiteDoors) -> tuple[Door, ...]:
    html = {200: {HTML: None}}
    return (
        Door(
            "GET",
            "/health",
            site.health,
            "Tell whether the server can do its work.",
            good={200: {JSON: shapes.Health}, 503: {JSON: shapes.Health}},
        ),
        Door("GET", "/metrics", site.metrics, "Tell the metrics, for Prometheus.", good={200: {TEXT: None}}),
        Door("GET", "/openapi.json", site.openapi, "Send this description.", good={200: {JSON: None}}),
        Door("GET", "/docs", site.docs, "Send this description as a page.", good=html),
        Door("GET", "/docs.css", site.style, "Send the page's style.", good={200: {"text/css": None}}),
        Door("GET", "/", site.index, "Send the page.", good=html, bad=(404,)),
    )
