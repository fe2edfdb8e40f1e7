"""What can be set of the interface server."""

from __future__ import annotations

from dataclasses import dataclass

from isthmus.core.settings import setting


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """The interface server's part of a site's TOML."""

    public_url: str = setting("address by which agents reach this server; where it listens if empty", default="")
    lease_s: float = setting("how long an agent may be silent", default=60.0, minimum=5, maximum=3600, unit="s")
    most_attempts: int = setting("how often a request is tried", default=6, minimum=1, maximum=100)
    most_claimed: int = setting("tasks that one claim may bring", default=512, minimum=1, maximum=10_000)
    most_wait_s: float = setting("how long a claim may wait", default=30.0, minimum=0, maximum=300, unit="s")
    poll_s: float = setting(
        "how soon work that another server accepted is seen", default=2.0, minimum=0.05, maximum=60, unit="s"
    )
    deliveries_at_once: int = setting(
        "deliveries that are worked on at the same time", default=64, minimum=1, maximum=1000
    )
    most_image_bytes: int = setting(
        "the largest image that is taken", default=64 << 20, minimum=1 << 16, maximum=1 << 31, unit="bytes"
    )
    incoming: str = setting("the folder where large images wait for filing", default="incoming", path=True)
    audit: str = setting("the file of the audit log", default="audit.sqlite", path=True)
    body_s: float = setting("how long a body may be silent", default=30.0, minimum=1, maximum=600, unit="s")
    watchers: int = setting("clients that may watch at once", default=2000, minimum=1, maximum=100_000)
    session_s: float = setting(
        "how long the page's session lasts", default=43_200.0, minimum=60, maximum=2_592_000, unit="s"
    )
