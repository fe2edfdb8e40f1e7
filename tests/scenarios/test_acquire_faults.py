"""Whole sites of acquiring under faults: no request is lost, and none is told twice to the client.

Every process is a real one, started as an operator starts it. What the faults leave is judged by `judge` alone.
Deaths at named steps are tried where the steps are: queue, agent, filing, server and gate have tests of their own.
"""

from __future__ import annotations

import gzip
import json
import random
import shutil
import signal
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from acquire_faults import (
    PATIENCE_S,
    Answered,
    Call,
    Proxy,
    Watch,
    again,
    asked,
    events_of,
    judge,
    kill_worker,
    kinds,
    lines_of,
    moments,
    no_litter,
    pictures,
    proxying,
    slowly,
)
from acquire_sites import LOOPBACK, AgentSite, Hub, running
from gallery_sites import until
from hostile_servers import nginx, path_of, response, scripted
from isthmus.acquire.agent.credential import load
from isthmus.acquire.delivery import signing
from isthmus.acquire.states import State

QUICK = "poll_s = 0.2"


@pytest.mark.parametrize(("kills", "images"), [(2, 160), pytest.param(6, 480, marks=pytest.mark.soak)])
@pytest.mark.parametrize("victim", ["server", "agent", "worker"])
def test_killed_at_moments_that_nobody_chose_every_image_still_comes_once(
    tmp_path: Path, victim: str, kills: int, images: int
) -> None:
    contents = pictures(tmp_path / "store" / "root", images, large_every=12)
    with nginx(tmp_path / "store") as port:
        hub = Hub(tmp_path / "hub", QUICK)
        agent = hub.environment("video", LOOPBACK.format(port=port) + slowly(80))
        with running(hub, agent):
            batch = hub.ask(asked(f"http://127.0.0.1:{port}", contents, "video"))
            watch = Watch(hub.client(), batch)
            for moment in moments(victim, kills, len(contents)):
                watch.until(moment)
                if victim == "worker":
                    kill_worker(hub)
                else:
                    again(hub if victim == "server" else agent)
            watch.until(len(contents))
            assert judge(hub, batch, contents, watch) == {"done": len(contents)}
            assert watch.reconnected >= (kills if victim == "server" else 0)
            watch.stop()
            again(agent)
            again(hub)
            no_litter(hub, agent)


class Hostile:
    """A storage server that lies, stalls, resets and floods by path; `/late/` answers only when it is let."""

    def __init__(self, contents: Mapping[str, bytes]) -> None:
        self._contents = contents
        self.let, self.over = threading.Event(), threading.Event()
        self._bomb = gzip.compress(bytes(64 << 20), 9)

    def __call__(self, connection: socket.socket, head: bytes) -> None:
        name = path_of(head).rpartition("/")[2]
        image = self._contents["0.jpg"]
        if name == "short.jpg":
            connection.sendall(response(image, length=len(image) + 999))
        elif name == "reset.jpg":
            connection.sendall(response(image[:50], length=len(image)))
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif name == "still.jpg":
            self.over.wait(60)
        elif name == "drip.jpg":
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
            while not self.over.wait(0.05):
                connection.sendall(b"x")
        elif name == "page.jpg":
            connection.sendall(response(b"<html>no image</html>", "200 OK", "Content-Type: image/jpeg"))
        elif name == "endless.jpg":
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\n\r\n" + image)
            while True:
                connection.sendall(bytes(1 << 16))
        elif name == "bomb.jpg":
            connection.sendall(response(self._bomb, "200 OK", "Content-Encoding: gzip"))
            return
        elif name == "forbidden.jpg":
            connection.sendall(response(b"", "302 Found", "Location: http://169.254.169.254/latest/"))
            return
        elif name == "escape.jpg":
            connection.sendall(response(b"", "302 Found", "Location: file:///etc/passwd"))
            return
        elif name == "circle.jpg":
            connection.sendall(response(b"", "302 Found", "Location: /circle.jpg"))
            return
        else:
            self.let.wait(60)
            connection.sendall(response(self._contents[name], "200 OK", "Content-Type: text/html"))
            return
        connection.close()


ENDS = {
    "short.jpg": "cut", "reset.jpg": "cut", "still.jpg": "timeout", "drip.jpg": "timeout",
    "page.jpg": "not-an-image", "endless.jpg": "too-large", "bomb.jpg": "too-large",
    "forbidden.jpg": "forbidden", "escape.jpg": "forbidden", "circle.jpg": "redirects",
}  # fmt: skip


def test_storage_servers_that_lie_stall_and_flood_fail_alone_and_the_others_images_come_meanwhile(
    tmp_path: Path,
) -> None:
    contents = pictures(tmp_path / "store" / "root", 100)
    healthy, late = [*contents][:80], [*contents][80:]
    hostile = Hostile(contents)
    with nginx(tmp_path / "store") as port, scripted(hostile) as bad:
        hub = Hub(tmp_path / "hub", f"{QUICK}\nmost_attempts = 1")
        ports = f"{port}, {bad}"
        elsewhere = '[[agent.allow]]\nschemes = ["http"]\nhosts = ["localhost"]\ncidr = ["10.0.0.0/8"]\n'
        treated = slowly(0, failures=100, total_s=2.0, most_bytes=1 << 20, concurrency=40)
        agent = hub.environment("video", LOOPBACK.format(port=ports) + elsewhere + treated)
        wishes = [
            *asked(f"http://127.0.0.1:{bad}", ENDS, "video", priority=9),
            *asked(f"http://127.0.0.1:{bad}/late", late, "video", priority=9),
            *asked("http://localhost", ["rebound.jpg"], "video", priority=9),
            *asked(f"http://127.0.0.1:{port}", healthy, "video"),
        ]
        with running(hub, agent):
            batch = hub.ask(wishes)
            watch = Watch(hub.client(), batch)
            done = lambda: {told.facts["record"] for told in watch.told if told.kind == "done"}  # noqa: E731
            until(lambda: done() >= set(healthy), "the others' images come meanwhile", PATIENCE_S)
            assert not done() & set(late)
            hostile.let.set()
            hub.ended(batch, PATIENCE_S)
            hostile.over.set()
            assert judge(hub, batch, contents, watch)["failed"] == len(ENDS) + 1
            ends = kinds(lines_of(hub, batch))
            assert {name: ends[name] for name in ENDS} == ENDS
            assert ends["rebound.jpg"] == "forbidden"
            assert {ends[name] for name in late} == {"done"}
            watch.stop()
            again(agent)
            again(hub)
            no_litter(hub, agent)


def verdicts(answer: Answered) -> list[str]:
    return list(json.loads(answer.body)["verdicts"])


def test_deliveries_that_are_lost_doubled_or_replayed_count_once_and_forged_ones_never(tmp_path: Path) -> None:
    contents = pictures(tmp_path / "store" / "root", 200)
    dice = random.Random(5)
    fate: Counter[str] = Counter()

    def meddle(call: Call, send: Callable[[Call], Answered]) -> Answered | None:
        if not call.delivers:
            return send(call)
        how = dice.choice(["well", "lost before", "lost after", "doubled"])
        fate[how] += 1
        if how == "lost before":
            return None
        answer = send(call)
        if how == "doubled":
            assert set(verdicts(send(call))) <= {"again"}
        return None if how == "lost after" else answer

    with nginx(tmp_path / "store") as port, proxying() as proxy:
        hub = Hub(tmp_path / "hub", f"{QUICK}\n{proxy.public_url}")
        proxy.to, proxy.meddle = hub.port, meddle
        agent = hub.environment("video", LOOPBACK.format(port=port))
        other = hub.environment("intranet", shared=False)
        with running(hub, agent):
            batch = hub.ask(asked(f"http://127.0.0.1:{port}", contents, "video"))
            watch = Watch(hub.client(), batch)
            watch.until(len(contents))
            assert fate.keys() == {"well", "lost before", "lost after", "doubled"}
            before = len(events_of(hub, batch))
            for call in list(proxy.deliveries):
                forged(proxy, call, other)
                assert set(verdicts(proxy.send(call))) == {"again"}
            assert len(events_of(hub, batch)) == before
            assert judge(hub, batch, contents, watch) == {"done": len(contents)}
            watch.stop()
            again(agent)
            again(hub)
            no_litter(hub, agent)


def forged(proxy: Proxy, call: Call, other: AgentSite) -> None:
    """Prove that a delivery is taken under its own signature only, and whole only."""
    digest = call.headers[signing.DIGEST]
    now = datetime.now(UTC)
    signer = load(other.folder / "credential.json").signer()
    by_another = call.headers | signing.headers(signer, digest, now)
    with_another_id = call.headers | {signing.ID: "msg_0123456789"}
    later = call.headers | {signing.TIMESTAMP: str(int(call.headers[signing.TIMESTAMP]) + 1)}
    of_nothing = {name: value for name, value in call.headers.items() if name != signing.SIGNATURE}
    for headers in (by_another, with_another_id, later, of_nothing):
        assert proxy.send(replace(call, headers=headers)).status == 403
    flipped = call.body[:-1] + bytes([call.body[-1] ^ 1])
    assert proxy.send(replace(call, body=flipped)).status == 400


def test_what_a_stalled_agent_delivers_after_its_lease_counts_only_where_nobody_else_was_quicker(
    tmp_path: Path,
) -> None:
    contents = pictures(tmp_path / "store" / "root", 60)
    let = threading.Event()
    caught: list[Call] = []
    late: list[list[str]] = []

    def meddle(call: Call, send: Callable[[Call], Answered]) -> Answered | None:
        if not (call.delivers and b'"video-1"' in call.body) or let.is_set():
            return send(call)
        caught.append(call)
        let.wait(PATIENCE_S)
        answer = send(call)
        late.append(verdicts(answer))
        return answer

    with nginx(tmp_path / "store") as port, proxying() as proxy:
        hub = Hub(tmp_path / "hub", f"{QUICK}\n{proxy.public_url}")
        proxy.to, proxy.meddle = hub.port, meddle
        no_claim_waits = "wait_s = 0"  # one that waits would take, for the stalled agent, what its leases set free
        stalled = hub.environment("video", LOOPBACK.format(port=port), work=no_claim_waits)
        second = beside(stalled, "video-2")
        wishes = asked(f"http://127.0.0.1:{port}", contents, "video")
        with running(hub, stalled):
            for quicker in (False, True):
                caught.clear(), let.clear(), late.clear()
                batch = hub.ask(wishes)
                watch = Watch(hub.client(), batch)
                until(lambda: caught, "it delivers", PATIENCE_S)
                stalled.process.send_signal(signal.SIGSTOP)
                if quicker:
                    second.start()
                    watch.until(len(contents))
                    assert second.end() == 0
                else:
                    free = {State.QUEUED, State.DONE}
                    gone = lambda: {line.state for line in lines_of(hub, batch)} <= free  # noqa: B023, E731
                    until(gone, "its leases run out", PATIENCE_S)
                let.set()
                until(lambda: len(late) == len(caught), "what was held back is answered", PATIENCE_S)
                stalled.process.send_signal(signal.SIGCONT)
                watch.until(len(contents))
                assert {said for answered in late for said in answered} == {"stale" if quicker else "filed"}
                assert judge(hub, batch, contents, watch) == {"done": len(contents)}
                watch.stop()
            again(stalled)
            again(hub)
            no_litter(hub, stalled, second)


def beside(agent: AgentSite, name: str) -> AgentSite:
    """Set up another agent of the same environment, with the same rules and credential."""
    site = AgentSite(agent.folder.parent / name, agent.label)
    text = (agent.folder / "isthmus.toml").read_text().replace(f"{agent.label}-1", name)
    (site.folder / "isthmus.toml").write_text(text)
    shutil.copy(agent.folder / "credential.json", site.folder)
    return site
