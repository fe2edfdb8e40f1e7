"""Images per second and processor time per image of the fetch engine, from nginx on the loopback.

nginx has one worker, its own folder and a free port. The peers get the same addresses in the same run, in turns
with the engine: aiohttp's client in one event loop, with the digest that the engine makes too, and img2dataset
without resizing or re-encoding (the command that the environment variable IMG2DATASET names, else `img2dataset`),
which also writes what it got into tar files. Each run is a process of its own: the engine sets up the heap of its
process, which would be the peer's as well.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import itertools
import json
import multiprocessing
import os
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.figure import Figure, scratch, show
from isthmus.acquire.fetch.fetcher import Fetching
from isthmus.acquire.fetch.settings import Allow, EnvironmentRules, Storage
from isthmus.acquire.ports import Got, Order

SIZES = {"20 KB": (20 * 1024, 8000), "200 KB": (200 * 1024, 2000)}
AT_ONCE = 32
ROUNDS = 3
GOAL_AIOHTTP, GOAL_IMG2DATASET = 2.0, 5.0

_CONF = """daemon off; {user} worker_processes 1; pid nginx.pid; error_log error.log;
events {{ worker_connections 1024; }}
http {{
    access_log off; sendfile on; tcp_nopush on; keepalive_requests 10000000; open_file_cache max=100;
    types {{ image/jpeg jpg; }}
    client_body_temp_path t1; proxy_temp_path t2; fastcgi_temp_path t3; uwsgi_temp_path t4; scgi_temp_path t5;
    server {{ listen 127.0.0.1:{port} backlog=1024; root {root}; }}
}}
"""


@dataclass(frozen=True, slots=True)
class Took:
    """Images per second of wall time, and milliseconds of the getting process's own time per image."""

    rate: float
    cpu_ms: float


def run(scale: float = 1.0) -> list[Figure]:
    """Measure; `scale` below 1 gets fewer images."""
    nginx = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if nginx is None:
        print("fetch: nginx is not installed (apt-get install nginx-light)", file=sys.stderr)
        return []
    figures = []
    with scratch("fetch") as folder, _served(nginx, folder) as address:
        for name, (_, count) in SIZES.items():
            urls = [
                f"{address}/{name.replace(' ', '')}.jpg?{number}" for number in range(max(200, int(count * scale)))
            ]
            figures += _compared(name, urls, folder)
    return figures


def _compared(name: str, urls: list[str], folder: Path) -> list[Figure]:
    works: dict[str, Callable[[list[str], Path], Took]] = {"engine": _engine}
    if _aiohttp_is_there():
        works["aiohttp"] = _aiohttp
    taken: dict[str, list[Took]] = {each: [] for each in works}
    for number in range(ROUNDS):
        for each in sorted(works, reverse=bool(number % 2)):
            taken[each].append(_apart(works[each], urls, folder))
    if (command := os.environ.get("IMG2DATASET") or shutil.which("img2dataset")) is not None:
        taken["img2dataset"] = [_img2dataset(command, urls, folder)]
    else:
        print("fetch: img2dataset is not installed; IMG2DATASET may name its command", file=sys.stderr)
    medians = {
        each: Took(statistics.median(t.rate for t in runs), statistics.median(t.cpu_ms for t in runs))
        for each, runs in taken.items()
    }
    return list(_figures(name, medians))


def _apart(work: Callable[[list[str], Path], Took], urls: list[str], folder: Path) -> Took:
    spawn = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=spawn) as process:
        return process.submit(work, urls, folder).result()


def _figures(name: str, medians: dict[str, Took]) -> Iterator[Figure]:
    ours = medians.pop("engine")
    if not medians:
        yield Figure(f"images got, {name}", ours.rate, "1/s")
        yield Figure(f"  processor time per image, {name}", ours.cpu_ms, "ms")
    goals = {"aiohttp": GOAL_AIOHTTP, "img2dataset": GOAL_IMG2DATASET}
    for peer, theirs in medians.items():
        times = ours.rate / theirs.rate
        goal = f"at least {goals[peer]:g}x (is {times:.1f}x)"
        yield Figure(f"images got, {name}", ours.rate, "1/s", peer, theirs.rate, goal, times >= goals[peer])
        less = theirs.cpu_ms / ours.cpu_ms
        goal = f"at least {goals[peer]:g}x less (is {less:.1f}x)"
        title = f"  processor time per image, {name}"
        yield Figure(title, ours.cpu_ms, "ms", peer, theirs.cpu_ms, goal, less >= goals[peer])


def _engine(urls: list[str], folder: Path) -> Took:
    rules = EnvironmentRules(
        allow=(
            Allow(schemes=("http",), hosts=("127.0.0.1",), ports=tuple(range(1, 65536)), cidr=("127.0.0.0/8",)),
        ),
        storage=(Storage(hosts=("*",), concurrency=AT_ONCE),),
        at_once=AT_ONCE,
    )
    fetching = Fetching(rules, folder / "large")
    try:
        with _Clock(len(urls)) as clock:
            orders = [Order(number, url, 60.0) for number, url in enumerate(urls)]
            placed = come = 0
            while come < len(orders):
                if room := min(fetching.room(), len(orders) - placed):
                    fetching.place(orders[placed : placed + room])
                    placed += room
                for _, got in fetching.results(1.0):
                    assert isinstance(got, Got), got
                    come += 1
    finally:
        fetching.close()
    return clock.took()


def _aiohttp(urls: list[str], _folder: Path) -> Took:
    import aiohttp
    from blake3 import blake3

    async def get_all() -> None:
        left = iter(urls)
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=AT_ONCE)) as session:

            async def worker() -> None:
                for url in left:
                    async with session.get(url) as answer:
                        assert answer.status == 200
                        assert blake3(await answer.read()).hexdigest()

            await asyncio.gather(*(worker() for _ in range(AT_ONCE)))

    with _Clock(len(urls)) as clock:
        asyncio.run(get_all())
    return clock.took()


def _img2dataset(command: str, urls: list[str], folder: Path) -> Took:
    table, out = folder / "urls.txt", folder / "img2dataset"
    table.write_text("\n".join(urls) + "\n")
    shutil.rmtree(out, ignore_errors=True)
    options = {
        "url_list": table,
        "output_folder": out,
        "resize_mode": "no",
        "disable_all_reencoding": True,
        "output_format": "webdataset",
        "processes_count": 1,
        "thread_count": AT_ONCE,
        "enable_wandb": False,
        "number_sample_per_shard": len(urls),
    }
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    said = subprocess.run(
        [command, *(f"--{key}={value}" for key, value in options.items())],
        capture_output=True,
        text=True,
        check=False,
    )
    after, whole_s = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter() - began
    stats = [json.loads(path.read_text()) for path in out.glob("*_stats.json")]
    if said.returncode or not stats:
        raise RuntimeError(f"img2dataset failed: {said.stderr[-300:]}")
    good = sum(each["successes"] for each in stats)
    seconds = sum(each["duration"] for each in stats)  # of its shard alone: without the start of its processes
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Took(good / seconds, (cpu * min(1.0, seconds / whole_s)) / max(1, good) * 1e3)


class _Clock:
    """Takes wall time and the time of this process."""

    def __init__(self, count: int) -> None:
        self._count = count

    def __enter__(self) -> _Clock:
        self._wall, self._cpu = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        self._wall, self._cpu = time.perf_counter() - self._wall, time.process_time() - self._cpu

    def took(self) -> Took:
        """Return what was measured."""
        return Took(self._count / self._wall, self._cpu / self._count * 1e3)


def _aiohttp_is_there() -> bool:
    try:
        import aiohttp  # noqa: F401
    except ModuleNotFoundError:
        print("fetch: aiohttp is not installed (pip install aiohttp)", file=sys.stderr)
        return False
    return True


@contextlib.contextmanager
def _served(nginx: str, folder: Path) -> Iterator[str]:
    root = folder / "images"
    root.mkdir()
    for name, (size, _) in SIZES.items():
        (root / f"{name.replace(' ', '')}.jpg").write_bytes(_jpeg(size))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    user = "user root;" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(_CONF.format(port=port, root=root, user=user))
    process = subprocess.Popen(
        [nginx, "-p", str(folder), "-c", str(folder / "nginx.conf")], stderr=subprocess.DEVNULL
    )
    try:
        for _ in itertools.repeat(None, 500):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.01)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


def _jpeg(size: int) -> bytes:
    """Make a JPEG of exactly so many bytes: a small picture, and comments up to its size."""
    import io

    from PIL import Image

    held = io.BytesIO()
    Image.effect_noise((64, 64), 64).save(held, "JPEG", quality=80)
    plain = held.getvalue()
    missing = size - len(plain)
    comments = b""
    while missing > 0:
        take = min(missing, 60_000) if missing - min(missing, 60_000) not in range(1, 4) else missing - 4
        comments += b"\xff\xfe" + (take - 2).to_bytes(2, "big") + os.urandom(take - 4)
        missing -= take
    return plain[:2] + comments + plain[2:]


if __name__ == "__main__":
    show(run())
