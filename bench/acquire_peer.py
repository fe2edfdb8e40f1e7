"""The peer of acquiring: a plain pipeline, such as a good programmer writes in an afternoon.

A client (aiohttp) fetches images, 32 at a time, and posts each to an endpoint (Starlette on uvicorn), which checks
it with Pillow and writes it: to a temporary file, synced, renamed. Both are processes of their own.
"""

from __future__ import annotations

import asyncio
import importlib.util
import io
import os
import subprocess
import sys
import time
from pathlib import Path

from PIL import Image

from bench.acquire_site import Watched, answers, free_port, wait, whole_machine_s

AT_ONCE = 32


def missing() -> bool:
    """Tell whether something of it is not installed, and say so."""
    lacks = [name for name in ("aiohttp", "starlette", "uvicorn") if importlib.util.find_spec(name) is None]
    if lacks:
        print(f"acquire: the peer needs {', '.join(lacks)} (pip install {' '.join(lacks)})", file=sys.stderr)
    return bool(lacks)


def through(folder: Path, port: int, process: int, count: int) -> tuple[int, float, dict[str, float], float]:
    """Carry images 0 to `count` through; return their number, seconds, CPU seconds by process and of all else."""
    folder.mkdir(parents=True)
    listening = free_port()
    server = subprocess.Popen([sys.executable, "-m", "bench.acquire_peer", "serve", str(folder), str(listening)])
    try:
        wait(lambda: answers(listening), lambda: "the peer does not start")
        watched = Watched({"nginx": process, "endpoint": server.pid})
        before, machine = watched.cpu_s(), whole_machine_s()
        words = [sys.executable, "-m", "bench.acquire_peer", "fetch", str(port), str(listening), str(count)]
        told = subprocess.run(words, check=True, capture_output=True).stdout.split()
        seconds, own_s = map(float, told)  # without the start of its process
        after = watched.cpu_s()
        used = {name: after[name] - before[name] for name in ("nginx", "endpoint")} | {"fetcher": own_s}
        return count, seconds, used, max(0.0, whole_machine_s() - machine - sum(used.values()))
    finally:
        server.terminate()
        server.wait(10)


async def _fetch(storage: int, server: int, count: int) -> None:
    import aiohttp

    left = iter(range(count))
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=2 * AT_ONCE)) as session:

        async def carry() -> None:
            for number in left:
                async with session.get(f"http://127.0.0.1:{storage}/{number}.jpg") as answer:
                    assert answer.status == 200
                    content = await answer.read()
                async with session.post(f"http://127.0.0.1:{server}/images/{number}", data=content) as answer:
                    assert answer.status == 201, await answer.text()

        await asyncio.gather(*(carry() for _ in range(AT_ONCE)))


def _serve(folder: Path, port: int) -> None:
    import uvicorn
    from starlette.applications import Starlette
    from starlette.concurrency import run_in_threadpool
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    def store(number: int, content: bytes) -> None:
        image = Image.open(io.BytesIO(content))
        image.load()
        image.getexif()
        part = folder / f"{number}.part"
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(folder / f"{number}.jpg")

    async def take(request: Request) -> Response:
        await run_in_threadpool(store, request.path_params["number"], await request.body())
        return Response(status_code=201)

    app = Starlette(routes=[Route("/images/{number:int}", take, methods=["POST"])])
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning")


def _main() -> None:
    if sys.argv[1] == "serve":
        _serve(Path(sys.argv[2]), int(sys.argv[3]))
    else:
        import aiohttp  # noqa: F401  # loaded before anything is measured

        begun, used = time.perf_counter(), time.process_time()
        asyncio.run(_fetch(*map(int, sys.argv[2:5])))
        print(time.perf_counter() - begun, time.process_time() - used)


if __name__ == "__main__":
    _main()
