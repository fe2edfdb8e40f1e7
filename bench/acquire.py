"""Acquiring as a whole: nginx, interface server, filing worker, agent and client, each a process of its own.

One POST asks for all images; the time ends with the last event that the client sees. Images are real photos made
small, all different. Beside images a second stands the processor time of an image by process: on two processors
1,800 images a second are 1.11 ms each, which tells on a busy machine what an idle one could do.

Peer, from the same nginx in the same run: what an ordinary program does (`acquire_peer.py`). It keeps no queue, no
order, no place and no record; it fetches, posts, checks with Pillow, writes and syncs.

An ext4 without a journal is slow to make files for five minutes after many were removed: rest before you measure.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import statistics
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench import acquire_peer
from bench.acquire_site import Site, Watched, fill, nginx, storage, whole_machine_s
from bench.figure import Figure, scratch, show
from isthmus.imaging.decode import check

SIZES = {"20 KB": (20_000, 480, 12_000, 1800), "200 KB": (200_000, 1280, 4000, 600)}
"""By name: bytes, longest edge, images, and the goal in images a second."""
ROUNDS = 2
SINGLES = 30
GOAL_FIRST_MS = 150.0
GOAL_MEMORY_MB = 400.0
WARM = 1000
"""So many images go through before anything is counted: workers start and load the towns, connections are made."""


@dataclass(frozen=True, slots=True)
class Took:
    """One run: seconds, processor seconds by process and of everything else, memory now and at most in MB."""

    images: int
    seconds: float
    cpu_s: Mapping[str, float]
    others_s: float
    memory_mb: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    decoded_ms: float = 0.0
    """Processor time of decoding such an image alone, right after the run: what the machine is worth just now."""

    @property
    def rate(self) -> float:
        """Images a second."""
        return self.images / self.seconds

    @property
    def cpu_ms(self) -> float:
        """Processor milliseconds of an image, all processes together."""
        return sum(self.cpu_s.values()) / self.images * 1e3

    def told(self, name: str) -> str:
        """Tell all of it in a line."""
        by = ", ".join(f"{who} {spent / self.images * 1e3:.3f}" for who, spent in self.cpu_s.items())
        parts = [
            f"  {name}: {self.rate:,.0f} images/s",
            f"CPU ms an image {self.cpu_ms:.3f} ({by})",
            f"everything else used {self.others_s / self.seconds:.2f} processors",
        ]
        if self.decoded_ms:
            parts.append(f"decoding alone {self.decoded_ms:.3f} ms")
        if self.memory_mb:
            parts.append("MB at most: " + ", ".join(f"{who} {mb:.0f}" for who, (_, mb) in self.memory_mb.items()))
        return "; ".join(parts)


def run(scale: float = 1.0) -> Iterator[Figure]:
    """Measure; `scale` below 1 gets fewer images."""
    if nginx() is None:
        return
    with scratch("acquire") as folder:  # one for all: ext4 looks long for a place where much was removed just now
        for name, (size, edge, count, goal) in SIZES.items():
            (own := folder / name.replace(" ", "")).mkdir()
            yield from _compared(own, name, size, edge, max(WARM, int(count * scale)), goal)


def _compared(folder: Path, name: str, size: int, edge: int, count: int, goal: int) -> Iterator[Figure]:
    mean = fill(folder / "images", size, edge, count + WARM)
    ours, peers, firsts = [], [], []
    with storage(folder) as (port, process):
        for number in range(ROUNDS):
            with contextlib.closing(Site(folder / f"site{number}", port)) as site:
                took = _through(site, port, process, count)
                ours.append(replace(took, decoded_ms=_decoded_ms(folder / "images")))
                print(ours[-1].told(name), file=sys.stderr)
                if not number and name == "20 KB":
                    firsts = _first(site, port)
            if acquire_peer.missing():
                continue
            peers.append(Took(*acquire_peer.through(folder / f"peer{number}", port, process, count)))
            print(peers[-1].told(f"{name}, peer"), file=sys.stderr)
    best, whole = max(ours, key=lambda one: one.rate), statistics.median(one.cpu_ms for one in ours)
    peer = "fetch, post, check, sync" if peers else ""
    theirs = max(one.rate for one in peers) if peers else None
    title = f"images of {mean / 1000:.0f} KB acquired, from POST to the last event"
    yield Figure(title, best.rate, "images/s", peer, theirs, f"at least {goal:,}", best.rate >= goal)
    cores = os.cpu_count() or 1
    yield Figure("  of it: CPU of an image, all processes", whole, "ms", peer,
                 statistics.median(one.cpu_ms for one in peers) if peers else None,
                 f"at most {2e3 / goal:.2f} (two processors)", whole <= 2e3 / goal)  # fmt: skip
    alone = statistics.median(one.cpu_ms / one.decoded_ms for one in ours)
    yield Figure("    as many times as decoding it alone just then", alone, "times")
    for who in best.cpu_s:
        yield Figure(f"    {who}", best.cpu_s[who] / best.images * 1e3, "ms")
    yield Figure(f"  processors of {cores} that others used meanwhile", best.others_s / best.seconds, "")
    for who in ("server", "filing", "agent"):
        most = max(one.memory_mb[who][1] for one in ours)
        yield Figure(f"  memory of {who}, at most", most, "MB", goal=f"< {GOAL_MEMORY_MB:.0f}",
                     holds=most < GOAL_MEMORY_MB)  # fmt: skip
    if firsts:
        slowest = max(firsts)
        yield Figure(
            "image pushed after its request, idle, all processes: median", statistics.median(firsts), "ms"
        )
        yield Figure("  slowest of them", slowest, "ms", goal=f"<= {GOAL_FIRST_MS:.0f} ms",
                     holds=slowest <= GOAL_FIRST_MS)  # fmt: skip


def _through(site: Site, port: int, process: int, count: int) -> Took:
    """Acquire `count` images after a few others."""
    _asked(site, port, range(count, count + WARM))
    watched = Watched({"nginx": process, "agent": site.agent.pid, "server": site.server.pid})
    body = _body(port, range(count))
    before, machine, begun = watched.cpu_s(), whole_machine_s(), time.perf_counter()
    _watch(site, body, count)
    seconds, after = time.perf_counter() - begun, watched.cpu_s()
    used = {name: after[name] - before[name] for name in after}
    others = whole_machine_s() - machine - sum(used.values())
    return Took(count, seconds, used, max(0.0, others), watched.memory_mb())


def _decoded_ms(images: Path) -> float:
    contents = [file.read_bytes() for file in itertools.islice(images.iterdir(), 200)]
    before = time.process_time()
    for content in contents:
        check(content)
    return (time.process_time() - before) / len(contents) * 1e3


def _asked(site: Site, port: int, numbers: range) -> None:
    _watch(site, _body(port, numbers), len(numbers))


def _watch(site: Site, body: bytes, count: int) -> None:
    batch = site.client.ask(body, "application/x-ndjson")["batch"]
    for seen, told in enumerate(site.client.events(batch), 1):
        assert told.kind == "done", told
        if seen == count:
            return


def _first(site: Site, port: int) -> list[float]:
    """Return for how many ms single requests wait for their pushed image, one after the other."""
    watching = site.client.events(after=_newest(site))
    took = []
    for number in range(SINGLES + 1):
        time.sleep(0.1)  # what went before has come to rest
        begun = time.perf_counter()
        site.client.ask(_body(port, range(number, number + 1)), "application/x-ndjson")
        assert next(watching).kind == "done"
        took.append((time.perf_counter() - begun) * 1e3)
    return took[1:]  # the stream was opened with the first


def _newest(site: Site) -> int:
    """Return the number of the newest event."""
    newest = 0
    batch = site.client.batches()[0]
    for told in site.client.events(batch["batch"]):
        newest = told.number
        if not (batch["counts"].get("done", 0) - 1):
            break
        batch["counts"]["done"] -= 1
    return newest


def _body(port: int, numbers: range) -> bytes:
    return b"".join(
        json.dumps(
            {"address": f"http://127.0.0.1:{port}/{number}.jpg", "environment": "bench", "record": f"r{number}"}
        ).encode()
        + b"\n"
        for number in numbers
    )


if __name__ == "__main__":
    show(run(float(sys.argv[1]) if len(sys.argv) > 1 else 1.0))
