"""An agent at the real interface server: doors, signatures, queue and verdicts as they are."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from msgspec.structs import replace

from acquire_serving import Site, serving
from agent_doubles import InventingFetcher
from isthmus.acquire.agent.credential import FORMAT, Credential
from isthmus.acquire.agent.settings import AgentSettings
from isthmus.acquire.agent.spool import Spool
from isthmus.acquire.agent.web_desk import WebDesk
from isthmus.acquire.agent.work import Agent
from isthmus.acquire.delivery.signing import SharedSecret
from isthmus.acquire.failure import Failure, Kind
from isthmus.acquire.ports import Got, Order, Parcel, Task
from isthmus.core.errors import Refused


class Now:
    def now(self) -> datetime:
        return datetime.now(UTC)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with serving(tmp_path_factory.mktemp("server")) as running:
        yield running


def desk_at(site: Site, **changes: str) -> WebDesk:
    values = {
        "format": FORMAT,
        "server": f"http://127.0.0.1:{site.port}",
        "environment": "video",
        "key": site.keys["agent"],
        "signing": site.secret.text(),
    }
    return WebDesk(Credential(**{**values, **changes}), "a1")


class HurtingFetcher(InventingFetcher):
    """Hands out content that is another than its digest says, the first time that an address ends so."""

    hurts = "no address"

    def _get(self, order: Order) -> Got | Failure:
        got = super()._get(order)
        if not order.address.endswith(self.hurts) or self.placed.count(order.address) > 1:
            return got
        assert isinstance(got, Got) and isinstance(got.content, bytes)
        return replace(got, content=got.content[:-1] + bytes([got.content[-1] ^ 1]))


@contextmanager
def working(site: Site, folder: Path, size: Callable[[str], int], hurts: str = "no address") -> Iterator[None]:
    (folder / "fetched").mkdir()
    fetcher = HurtingFetcher(folder / "fetched")
    fetcher.hurts = hurts
    fetcher.size, fetcher.fails = size, lambda address: address.endswith("7.jpg")
    settings = AgentSettings(wait_s=5, stop_s=5)
    agent = Agent(desk_at(site), fetcher, Spool(folder / "spool", 1 << 30), settings, Now())
    stop = threading.Event()
    thread = threading.Thread(target=agent.run, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(20)
    assert not thread.is_alive()


def test_a_batch_with_small_large_and_missing_images_ends_as_it_should(site: Site, tmp_path: Path) -> None:
    with working(site, tmp_path, lambda address: 3 << 20 if address.endswith("5.jpg") else 20_000):
        batch = site.ask(*(f"r{number}" for number in range(200)))
        gate = threading.Event()
        for _ in range(2000):
            if site.states(batch) == {"done": 180, "failed": 20}:
                break
            gate.wait(0.01)
        assert site.states(batch) == {"done": 180, "failed": 20}
        second = site.ask("later")  # an idle agent waits at the server, and is woken
        for _ in range(500):
            if site.states(second) == {"done": 1}:
                break
            gate.wait(0.01)
        assert site.states(second) == {"done": 1}
    assert not list((tmp_path / "fetched").iterdir()) and not list((tmp_path / "spool").iterdir())


def test_content_that_was_hurt_at_the_agent_is_refused_and_fetched_anew_and_what_travels_with_it_arrives(
    site: Site, tmp_path: Path
) -> None:
    with working(site, tmp_path, lambda address: 20_000, hurts="h3.jpg"):
        batch = site.ask(*(f"h{number}" for number in range(6)))
        gate = threading.Event()
        for _ in range(1500):
            if site.states(batch) == {"done": 6}:
                break
            gate.wait(0.01)
        assert site.states(batch) == {"done": 6}
    attempts = {
        one["wish"]["record"]: one["attempts"] for one in site.call("GET", f"/v1/requests?batch={batch}").json
    }
    assert attempts == {f"h{number}": 2 if number == 3 else 1 for number in range(6)}
    refused = [one["error"] for one in site.log if one["event"] == "delivery damaged"]
    assert refused and all("is not what was signed" in why for why in refused)


def test_a_foreign_key_or_secret_is_refused(site: Site, tmp_path: Path) -> None:
    site.ask("mine")
    with pytest.raises(Refused, match="401"):
        desk_at(site, key="isthmus-agent-key-that-is-none").claim(1, 0)
    claimed = desk_at(site).claim(1, 0)
    with pytest.raises(Refused, match="403"):
        foreign = desk_at(site, signing=SharedSecret.create().text())
        foreign.deliver(claimed.callback, [_failed(claimed.tasks[0])])
    assert desk_at(site).deliver(claimed.callback, [_failed(claimed.tasks[0])]) == ["noted"]


def _failed(task: Task) -> Parcel:
    return Parcel(task, Failure(Kind.GONE, "404"))
