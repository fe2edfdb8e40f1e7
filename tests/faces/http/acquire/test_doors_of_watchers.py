from __future__ import annotations

import contextlib
import http.client
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from acquire_serving import IMAGE, PATIENCE_S, Site, serving
from isthmus.acquire.failure import Failure, Kind
from isthmus.faces.http.acquire import events


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with serving(tmp_path_factory.mktemp("server")) as running:
        yield running


class Stream:
    """One watching client of /v1/events."""

    def __init__(self, site: Site, query: str = "", last: str = "", key: str = "client") -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", site.port, timeout=PATIENCE_S)
        headers = {"Authorization": f"Bearer {site.keys[key]}", **({"Last-Event-ID": last} if last else {})}
        self.connection.request("GET", f"/v1/events{query}", headers=headers)
        self.answer = self.connection.getresponse()
        assert self.answer.status == 200
        assert self.answer.getheader("content-type") == "text/event-stream; charset=utf-8"
        self.comments: list[str] = []
        self.block()  # the server's first words: from here on it watches

    def block(self) -> dict[str, str]:
        """Return the next block of lines."""
        found: dict[str, str] = {}
        while line := self.answer.readline().decode().rstrip("\n"):
            name, _, value = line.partition(": ")
            if name:
                found[name] = value
            else:
                self.comments.append(value)
        return found

    def event(self) -> dict[str, Any]:
        """Return the next event."""
        while "data" not in (block := self.block()):
            pass
        told: dict[str, Any] = json.loads(block["data"])
        assert block["id"] == str(told["number"])
        assert block["event"] == told["kind"]
        return told

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()


def deliver(site: Site, *records: str) -> str:
    batch = site.ask(*records)
    claimed = site.claim(most=100)
    assert site.deliver(claimed, [IMAGE] * len(records)).status == 200
    return batch


def test_an_image_is_pushed_the_moment_it_is_filed(site: Site) -> None:
    with Stream(site) as stream:
        batch = deliver(site, "r1")
        told = stream.event()
    assert (told["kind"], told["batch"], told["record"]) == ("done", batch, "r1")
    assert told["filed"]["path"] == "unknown-place/video_r1.jpg"


def test_failures_and_cancels_are_pushed_with_their_reasons(site: Site) -> None:
    batch = site.ask("f1", "f2")
    with Stream(site, f"?batch={batch}") as stream:
        site.deliver(site.claim(most=1), [Failure(Kind.GONE, "404 not found")])
        failed = stream.event()
        site.call("POST", f"/v1/batches/{batch}/cancel")
        cancelled = stream.event()
    assert failed["failure"]["kind"] == "gone"
    assert cancelled["kind"] == "cancelled"


def test_a_client_that_comes_back_gets_exactly_what_it_missed(site: Site) -> None:
    with Stream(site) as stream:
        deliver(site, "c1", "c2")
        seen = [stream.event(), stream.event()]
    deliver(site, "c3", "c4", "c5")
    with Stream(site, last=str(seen[0]["number"])) as stream:
        numbers = [stream.event()["number"] for _ in range(4)]
        deliver(site, "c6")
        last = stream.event()
    assert numbers[0] == seen[1]["number"]
    assert numbers == sorted(set(numbers))
    assert last["record"] == "c6"


def test_everything_since_the_beginning_can_be_replayed(site: Site) -> None:
    batch = deliver(site, *(f"p{number}" for number in range(16)))
    with Stream(site, f"?batch={batch}&after=0") as stream:
        assert {stream.event()["record"] for _ in range(16)} == {f"p{number}" for number in range(16)}


def test_a_client_is_told_of_its_own_requests_alone_and_a_viewer_of_all(site: Site) -> None:
    with Stream(site, key="other") as other, Stream(site, key="viewer") as viewer:
        mine = deliver(site, "o1")
        reply = site.call(
            "POST",
            "/v1/acquisitions",
            {"address": "a", "environment": "video", "record": "o2"},
            key="other",
        )
        site.deliver(site.claim(), [IMAGE])
        assert viewer.event()["batch"] == mine
        assert viewer.event()["batch"] == reply.json["batch"]
        assert other.event()["batch"] == reply.json["batch"]


def test_a_quiet_stream_is_kept_open_by_comments(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "HEARTBEAT_S", 0.05)
    with Stream(site) as stream:
        while len(stream.comments) < 3:
            stream.block()
    assert "still here" in stream.comments


def test_a_wrong_place_to_begin_is_told(site: Site) -> None:
    assert site.call("GET", "/v1/events", headers={"Last-Event-ID": "x"}).status == 422
    assert site.call("GET", "/v1/events?after=x").status == 422


def test_watchers_who_left_are_forgotten(site: Site) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(20):
            stack.enter_context(Stream(site))
        assert site.service.hub.watchers >= 20
    until = time.monotonic() + PATIENCE_S
    while site.service.hub.watchers and time.monotonic() < until:
        deliver(site, "left")
    assert site.service.hub.watchers == 0


def socket_of(site: Site, key: str = "client", **more: Any) -> Any:
    headers = {"Authorization": f"Bearer {site.keys.get(key, key)}"}
    address = f"ws://127.0.0.1:{site.port}/v1/events/ws"
    return connect(address, additional_headers=headers, open_timeout=PATIENCE_S, **more)


def test_a_websocket_tells_the_same(site: Site) -> None:
    batch = deliver(site, "w1")
    with socket_of(site) as socket:
        socket.send(json.dumps({"after": 0, "batch": batch}))
        assert json.loads(socket.recv(PATIENCE_S))["record"] == "w1"
        socket.send("passed over")
    with socket_of(site) as socket:
        deliver(site, "w2")
        assert json.loads(socket.recv(PATIENCE_S))["record"] == "w2"


def test_a_websocket_is_closed_for_whom_it_is_not(site: Site) -> None:
    batch = deliver(site, "w3")
    for key in ("isk_wrong", "agent"):
        with pytest.raises((ConnectionClosed, InvalidStatus)), socket_of(site, key) as socket:
            socket.recv(PATIENCE_S)
    for first in (json.dumps({"batch": batch}), "no json", "[" * 2000):
        with socket_of(site, "other") as socket:
            socket.send(first)
            with pytest.raises(ConnectionClosed):
                socket.recv(PATIENCE_S)


def test_streams_end_when_the_server_does(tmp_path_factory: pytest.TempPathFactory) -> None:
    with contextlib.ExitStack() as stack:
        with serving(tmp_path_factory.mktemp("ending")) as site:
            stream = stack.enter_context(Stream(site))
            socket = stack.enter_context(socket_of(site))
            waits = time.monotonic()
        assert time.monotonic() - waits < PATIENCE_S
        assert stream.answer.read() == b""
        with pytest.raises(ConnectionClosed):
            socket.recv(PATIENCE_S)
