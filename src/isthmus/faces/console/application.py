"""A site's one server as an application: the API, the console's pages, and the guard before both."""

from __future__ import annotations

from starlette.middleware import Middleware

from isthmus.faces.console.frame import Frame
from isthmus.faces.console.lost import Lost
from isthmus.faces.console.pages import routes
from isthmus.faces.http.hub.application import HubApplication, application
from isthmus.faces.http.hub.guard import SessionGuard
from isthmus.faces.http.hub.hub import Hub
from isthmus.faces.http.hub.threshold import Threshold


def site_application(hub: Hub) -> HubApplication:
    """Build the application of a hub, with whatever its guard needs."""
    guard = hub.guard
    around = [Middleware(Threshold, guard=guard)] if isinstance(guard, SessionGuard) else []
    cookie = guard.cookie if isinstance(guard, SessionGuard) else ""
    secure = isinstance(guard, SessionGuard) and guard.console.secure
    frame = Frame(hub)
    return application(hub, [*routes(hub, frame), Lost(frame)], around, cookie=cookie, secure=secure)
