"""What there is to see and to do at a site, by the API: one module for each subject.

Each has `doors(hub) -> list[Door]`. A door's role is asked for before its endpoint runs; the endpoint finds who
asks in `request.state.person` and the parameters by `paging.asked(request, Kind)`. What reads files of the site
runs in a thread (`asyncio.to_thread`).
"""

from __future__ import annotations

from importlib import import_module

from isthmus.faces.http.doors import Door
from isthmus.faces.http.hub.hub import Hub

MODULES: tuple[str, ...] = ("people", "overview", "acquire", "galleries", "scenes", "runs", "recovery")


def doors(hub: Hub) -> list[Door]:
    """Return the doors of all subjects."""
    found: list[Door] = []
    for name in MODULES:
        found += import_module(f"{__name__}.{name}").doors(hub)
    return found
