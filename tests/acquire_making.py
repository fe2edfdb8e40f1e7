"""Wishes, images and moments for tests of acquiring."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from isthmus.acquire.image import Filed
from isthmus.acquire.ledger_port import Ledger
from isthmus.acquire.ports import Asking, Held, Settled, Task
from isthmus.acquire.request import Wish

START = datetime(2026, 5, 1, 8, 0, tzinfo=UTC)


def at(seconds: float) -> datetime:
    """Return a moment so many seconds after the start."""
    return START + timedelta(seconds=seconds)


def wish(record: str, environment: str = "public", **more: object) -> Wish:
    """Make a wish."""
    return Wish(f"http://store.example/{record}.jpg", environment, record, **more)  # type: ignore[arg-type]


def wishes(count: int, name: str = "r", **more: object) -> list[Wish]:
    """Make many."""
    return [wish(f"{name}{number}", **more) for number in range(count)]  # type: ignore[arg-type]


def asking(owner: str = "client", **more: str) -> Asking:
    """Make what belongs to a POST."""
    return Asking(owner, f"trace-{owner}", **more)


def filed(request: int, content: int | None = None, **more: object) -> Filed:
    """Make an image of a request: contents with the same number are the same."""
    digest = f"{request if content is None else content:064x}"
    told: dict[str, object] = {"size": 1000, "format": "jpeg", "width": 4, "height": 3, "place": "hamburg", **more}
    return Filed(digest, digest, f"{told['place']}/{request}.jpg", **told)  # type: ignore[arg-type]


def settled(task: Task, content: int | None = None, **more: object) -> Settled:
    """Make the outcome of a task that went well."""
    return Settled(task.request, task.fence, filed(task.request, content, **more))


def hold(task: Task) -> Held:
    """Say what an agent holds."""
    return Held(task.request, task.fence)


def fetch(ledger: Ledger, most: int = 100, environment: str = "public", seconds: float = 1) -> list[Task]:
    """Lease and settle."""
    tasks = ledger.claim(environment, "agent", most, 60, at(seconds))
    ledger.settle([settled(task) for task in tasks], at(seconds))
    return tasks
