"""Every page of the console on a site with 100,000 scenes: server time, and bytes with all that it loads first.

The server is the real one, a process of its own, asked over loopback by one who keeps the connection, as a browser
does; the time is the median from the request to the last byte of the answer. Bytes are those on the wire.
"""

from __future__ import annotations

import datetime
import gzip
import http.client
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import numpy as np
import pyarrow as pa

from bench.figure import Figure, median_s, scratch, show
from bench.mining import _column as simple_column
from isthmus.app.clock import SystemClock
from isthmus.app.console import read_console_config
from isthmus.app.people.access import Access
from isthmus.app.people.person import Role
from isthmus.app.people.trail import Actor
from isthmus.app.site import Site
from isthmus.loop.fields import SCENES
from isthmus.loop.measure import Measure
from isthmus.loop.release.card import Card
from isthmus.loop.runs.ledger import Ask
from isthmus.loop.scene import Scene
from isthmus.warehouse.schema import FieldType

SCENE_ROWS = 100_000
RUNS = 300
TIMES = 9
WITHIN_MS = 200
WITHIN_KB = 300
DRAWN = 64
"""Scenes that have a complex field: those that are looked at one by one."""
_TOML = '[site]\nname = "bench"\n\n[pipeline.forecast]\n\n[console]\nport = 0\n'
_LOADED = re.compile(r'(?:href|src)="(/static/[^"]+)"')
_IMPORTED = re.compile(r'(?:from|import)\s*\(?"(\./[^"]+)"|here\("([^"]+)"\)')


def run(scale: float = 1.0) -> list[Figure]:
    rows = max(1000, int(SCENE_ROWS * scale))
    with scratch("console") as folder:
        toml = folder / "isthmus.toml"
        toml.write_text(_TOML)
        scene = _make_scenes(toml, rows)
        kept, model = _make_runs(toml)
        key = _key(toml)
        with _serving(toml, key) as browser:
            figures = [one for path in _paths(scene, kept, model) for one in _page(browser, path, rows)]
            figures.append(_memory(browser))
    return figures


def _paths(scene: str, kept: str, model: str) -> tuple[str, ...]:
    return (
        "/",
        "/acquire",
        "/scenes",
        "/scenes?rule=hard_brake+and+not+dense_traffic&where=speed_max+%3E+20&order=speed_mean",
        "/scenes/rules",
        "/scenes/rules/count?rule=hard_brake&set.deceleration=2",
        "/scenes/sql",
        f"/scenes/one/{scene}",
        "/runs",
        f"/runs/one/{kept}",
        "/runs/models",
        f"/runs/models/{model}",
        "/galleries",
        "/recovery",
        "/works",
        "/people",
    )


@dataclass
class Browser:
    """One who keeps a connection and what was loaded before on the same page."""

    process: subprocess.Popen[str]
    port: int
    key: str
    connection: http.client.HTTPConnection = field(init=False)

    def __post_init__(self) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)

    def get(self, path: str) -> tuple[int, bytes, str]:
        """Return the status, the bytes as they came, and the text."""
        headers = {"authorization": f"Bearer {self.key}", "accept-encoding": "gzip", "accept": "text/html,*/*"}
        self.connection.request("GET", path, headers=headers)
        answer = self.connection.getresponse()
        raw = answer.read()
        packed = answer.headers.get("content-encoding") == "gzip"
        return answer.status, raw, (gzip.decompress(raw) if packed else raw).decode("utf-8", "replace")


def _page(browser: Browser, path: str, rows: int) -> list[Figure]:
    status, raw, text = browser.get(path)
    if status == 404:  # a page that is not there is no page that is quick
        return [Figure(f"{path} answers {status}", float(status), "")]
    assert status == 200, (path, status, text[:300])
    taken = median_s(lambda: browser.get(path), TIMES) * 1000
    size = (len(raw) + sum(_loaded(browser, text).values())) / 1000
    name = path if len(path) < 44 else path[:43] + "…"
    return [
        Figure(f"{name} ({rows:,} scenes)", taken, "ms", goal=f"under {WITHIN_MS} ms", holds=taken < WITHIN_MS),
        Figure(f"{name} with all it loads", size, "kB", goal=f"under {WITHIN_KB} kB", holds=size < WITHIN_KB),
    ]


def _loaded(browser: Browser, text: str) -> dict[str, int]:
    """Return the bytes of everything that a page loads on a first visit, by address."""
    found: dict[str, int] = {}
    waiting = list(dict.fromkeys(_LOADED.findall(text)))
    charts = "data-chart" in text
    for source in re.findall(r'data-source="([^"]+)"', text):
        found[source] = len(browser.get(source)[1])
    while waiting:
        path = urlsplit(waiting.pop()).path
        if path in found:
            continue
        status, raw, script = browser.get(path)
        if status != 200:
            continue
        found[path] = len(raw)
        if path.endswith(".js") and "uplot.min" not in path and "htmx.min" not in path:
            for module, asset in _IMPORTED.findall(script):
                if module or charts:
                    waiting.append(urljoin(path, module or asset))
    return found


def _memory(browser: Browser) -> Figure:
    status = Path(f"/proc/{browser.process.pid}/status").read_text()
    (resident,) = re.findall(r"VmRSS:\s+(\d+) kB", status)
    megabytes = int(resident) / 1000
    return Figure(
        "the server's memory, all pages seen", megabytes, "MB", goal="under 250 MB", holds=megabytes < 250
    )


@contextmanager
def _serving(toml: Path, key: str) -> Iterator[Browser]:
    command = [sys.executable, "-m", "isthmus", "--site", str(toml), "serve", "console"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            port = re.search(r":(\d+)\s*$", line.strip())
            assert port, f"the server said {line!r}"
            yield Browser(process, int(port[1]), key)
        finally:
            process.terminate()


def _key(toml: Path) -> str:
    with Access(read_console_config(toml).people_file, SystemClock()) as access:
        return access.keys.add("bench", Role.ADMIN, Actor("bench", "here"), None).text


def _make_scenes(toml: Path, rows: int) -> str:
    """Fill the warehouse and the OLAP; returns the id of a scene that can be drawn."""
    site = Site.open(toml)
    site.tables.scenes.append(_batches(rows))
    site.tables.level()
    return "s000000000"


def _batches(rows: int, step: int = 20_000) -> Iterator[pa.RecordBatch]:
    rng = np.random.default_rng(0)
    for start in range(0, rows, step):
        count = min(step, rows - start)
        columns = []
        for one in SCENES.fields:
            if one.type is FieldType.COMPLEX:
                drawn = [_scene(start + n).pack() if start + n < DRAWN else None for n in range(count)]
                columns.append(pa.array(drawn, one.arrow()))
            else:
                columns.append(simple_column(one.name, one.type, start, count, rng).cast(one.arrow()))
        yield pa.RecordBatch.from_arrays(columns, names=list(SCENES.names))


def _scene(number: int, agents: int = 24, steps: int = 200) -> Scene:
    """A dense scene: two dozen agents on four lanes for twenty seconds."""
    rng = np.random.default_rng(number)
    states = np.zeros((agents, steps, 5), np.float32)
    speed = rng.uniform(8, 25, (agents, 1)) + np.cumsum(rng.normal(0, 0.05, (agents, steps)), 1)
    states[:, :, 0] = rng.uniform(-60, 60, (agents, 1)) + np.cumsum(speed, 1) * 0.1
    states[:, :, 1] = rng.integers(0, 4, (agents, 1)) * 3.5 + rng.normal(0, 0.05, (agents, steps))
    states[:, :, 3] = speed
    lanes = tuple(np.array([[-500, y * 3.5], [900, y * 3.5]], np.float32) for y in range(4))
    return Scene(
        f"s{number:09d}",
        "bench",
        datetime.date(2026, 11, 1),
        "record",
        "group",
        (),
        0.1,
        tuple(str(one) for one in range(agents)),
        ("car",) * agents,
        np.zeros(2),
        states,
        np.tile(np.array([[4.6, 1.9]], np.float32), (agents, 1)),
        np.zeros((agents, steps), np.int16),
        np.zeros(steps, np.float32),
        lanes,
    )


def _make_runs(toml: Path) -> tuple[str, str]:
    """Write runs that were kept, each with a model and a decision; returns the last run and its model."""
    site = Site.open(toml)
    run, model = "", ""
    for _ in range(RUNS):
        run = site.ledger.begin("forecast", "nightly", Ask("hard_brake")).id
        model = site.registry.allot("forecast")
        site.ledger.move(run, "selected", "all of them", {"count": 900, "version": 1})
        site.ledger.move(run, "nothing", "too few", {"model": model})
        card = Card(
            model,
            "forecast",
            run,
            "2026-11-01T00:00:00+00:00",
            "full",
            0,
            "main.loop.scenes",
            1,
            "ids.parquet",
            "ab" * 32,
            900,
            measures=tuple(_measures()),
        )
        site.registry.add_candidate("forecast", f"releases/{model}", card)
    site.store.close()
    return run, model


def _measures() -> Iterator[Measure]:
    for metric in ("ADE", "FDE", "minADE", "minFDE", "miss_rate"):
        for part in ("overall", *(f"rule:{name}" for name in "abcdefgh"), *(f"tag:{n}" for n in range(12))):
            for number, name in enumerate(("candidate", "champion", "constant velocity")):
                value = 1 + number / 10 + (hash((metric, part)) % 97) / 100
                yield Measure(metric, part, name, value, 100 + len(part), "m", "lower")


if __name__ == "__main__":
    begun = time.monotonic()
    show(run(float(sys.argv[1]) if len(sys.argv) > 1 else 1.0))
    print(f"{time.monotonic() - begun:.0f} s")
