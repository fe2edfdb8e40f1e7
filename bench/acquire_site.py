"""What the measuring of acquiring stands on: a storage server, an interface server and an agent as processes."""

from __future__ import annotations

import bisect
import contextlib
import io
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from isthmus.acquire.client import Client
from samples import SAMPLES

PATIENCE_S = 60.0
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_QUALITIES = range(30, 98)

_NGINX = """daemon off; {user} worker_processes 1; pid nginx.pid; error_log error.log;
events {{ worker_connections 1024; }}
http {{
    access_log off; sendfile on; tcp_nopush on; keepalive_requests 10000000;
    types {{ image/jpeg jpg; }}
    client_body_temp_path t1; proxy_temp_path t2; fastcgi_temp_path t3; uwsgi_temp_path t4; scgi_temp_path t5;
    server {{ listen 127.0.0.1:{port} backlog=1024; root {root}; }}
}}
"""
_SERVER = """[site]
name = "bench"
[acquire]
port = {port}
"""
_AGENT = """[site]
name = "bench"
[agent]
name = "bench"
credential = "bench.json"
[[agent.allow]]
schemes = ["http"]
hosts = ["127.0.0.1"]
ports = [{port}]
cidr = ["127.0.0.0/8"]
"""


def nginx() -> str | None:
    """Return the command of nginx; None, and a line about it, where it is missing."""
    command = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if command is None:
        print("acquire: nginx is not installed (apt-get install nginx-light)", file=sys.stderr)
    return command


class Watched:
    """Processes by name, each with its children; their processor time and memory."""

    def __init__(self, processes: Mapping[str, int]) -> None:
        self._processes = processes

    def named(self) -> dict[str, list[int]]:
        """Return the processes that run; children of the server are its `filing` worker."""
        found: dict[str, list[int]] = {}
        for name, process in self._processes.items():
            found[name] = [process]
            found.setdefault("filing" if name == "server" else name, []).extend(_children(process))
        return found

    def cpu_s(self) -> dict[str, float]:
        """Return the processor time of each until now, in seconds; `client` is this process."""
        used = {name: sum(map(_cpu_s, numbers)) for name, numbers in self.named().items()}
        return {**used, "client": time.process_time()}

    def memory_mb(self) -> dict[str, tuple[float, float]]:
        """Return the resident memory of each in MB: now, and at most until now."""
        return {
            name: (_memory_mb(numbers, "VmRSS"), _memory_mb(numbers, "VmHWM"))
            for name, numbers in self.named().items()
        }


class Site:
    """An interface server with its worker, and an agent, both fresh. `client` asks the server."""

    def __init__(self, folder: Path, storage: int) -> None:
        """Start both; `storage` is the port of the storage server."""
        self.folder = folder
        (folder / "server").mkdir(parents=True)
        (folder / "agent").mkdir()
        port = free_port()
        (folder / "server" / "isthmus.toml").write_text(_SERVER.format(port=port))
        (folder / "agent" / "isthmus.toml").write_text(_AGENT.format(port=storage))
        key = folder / "bench.key"
        self._isthmus("acquire", "keys", "add", "bench", "--role", "operator", "--out", str(key))
        self._isthmus("acquire", "environment", "add", "bench", "--out", str(folder / "agent" / "bench.json"))
        self._logs = [(folder / f"{name}.log").open("wb") for name in ("server", "agent")]
        self.server = self._start("server", self._logs[0], "serve", "acquire")
        url = f"http://127.0.0.1:{port}"
        wait(lambda: answers(port), self._told)
        self.agent = self._start("agent", self._logs[1], "agent", "--environment", "bench")
        self.client = Client(url, key.read_text().strip())

    def log(self, name: str) -> bytes:
        """Return what the server or the agent logged."""
        return (self.folder / f"{name}.log").read_bytes()

    def close(self) -> None:
        """End both."""
        for process in (self.agent, self.server):
            process.send_signal(signal.SIGTERM)
        for process in (self.agent, self.server):
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(20)
            process.kill()
            process.wait()
        for log in self._logs:
            log.close()

    def _start(self, site: str, log: io.BufferedWriter, *words: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "isthmus", "--site", str(self.folder / site), *words],
            stdout=subprocess.DEVNULL,
            stderr=log,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )

    def _isthmus(self, *words: str) -> None:
        command = [sys.executable, "-m", "isthmus", "--site", str(self.folder / "server"), *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"isthmus {' '.join(words[:3])}: {done.stderr[-500:]}")

    def _told(self) -> str:
        return self.log("server").decode()[-500:] + self.log("agent").decode()[-500:]


@contextlib.contextmanager
def storage(folder: Path) -> Iterator[tuple[int, int]]:
    """Serve `folder/images` by nginx with one worker; yields its port and its process."""
    command = nginx()
    assert command is not None
    port = free_port()
    user = "user root;" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(_NGINX.format(port=port, root=folder / "images", user=user))
    process = subprocess.Popen(
        [command, "-p", str(folder), "-c", str(folder / "nginx.conf")], stderr=subprocess.DEVNULL
    )
    try:
        wait(lambda: answers(port), lambda: "nginx does not start")
        yield port, process.pid
    finally:
        process.terminate()
        process.wait(10)


def fill(folder: Path, size: int, edge: int, count: int) -> int:
    """Write `count` different JPEG files of about `size` bytes, numbered from 0; return their mean size.

    They are the real photos made smaller, with their own EXIF where it is small, or made pictures without them.
    """
    folder.mkdir(parents=True)
    made = list(pictures(size, edge))
    whole = 0
    for number in range(count):
        base, mark = made[number % len(made)], b"\xff\xfe" + (8).to_bytes(2, "big") + b"%06d" % number
        whole += (folder / f"{number}.jpg").write_bytes(base[:2] + mark + base[2:])
    return whole // count


def pictures(size: int, edge: int) -> Iterator[bytes]:
    """Yield each picture in the least quality that makes it `size` bytes or more, but for those far below."""
    sources = sorted((SAMPLES / "photos").glob("[el]*/*.jpg")) if (SAMPLES / "photos").is_dir() else []
    for image, block in _opened(sources) if sources else _made(edge):
        image.thumbnail((edge, edge))
        exif = block if len(block) < size // 8 else b""
        at = bisect.bisect_left(_QUALITIES, size, key=lambda quality: len(_encoded(image, quality, exif)))
        made = _encoded(image, _QUALITIES[min(at, len(_QUALITIES) - 1)], exif)
        if len(made) > 0.7 * size:
            yield made


def _encoded(image: Image.Image, quality: int, exif: bytes) -> bytes:
    into = io.BytesIO()
    image.save(into, "JPEG", quality=quality, exif=exif)
    return into.getvalue()


def _opened(sources: Iterable[Path]) -> Iterator[tuple[Image.Image, bytes]]:
    for source in sources:
        with contextlib.suppress(OSError):
            image = Image.open(source)
            yield image.convert("RGB"), image.info.get("exif", b"")


def _made(edge: int) -> Iterator[tuple[Image.Image, bytes]]:
    dice = random.Random(1)
    for _ in range(40):
        small = Image.frombytes("RGB", (24, 18), dice.randbytes(24 * 18 * 3))
        yield small.resize((edge, edge * 3 // 4), Image.Resampling.BICUBIC), b""


def free_port() -> int:
    """Return a port of the loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def answers(port: int) -> bool:
    """Tell whether somebody listens on a port of the loopback."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def wait(until: Callable[[], bool], why: Callable[[], str]) -> None:
    """Wait until something is so. Raises RuntimeError with `why`."""
    end = time.monotonic() + PATIENCE_S
    while not until():
        if time.monotonic() > end:
            raise RuntimeError(why())
        time.sleep(0.02)


def whole_machine_s() -> float:
    """Return the processor time that the whole machine has spent, in seconds."""
    user, nice, system, _, _, interrupt, soft = map(int, Path("/proc/stat").read_text().split()[1:8])
    return (user + nice + system + interrupt + soft) * _TICK_S


def _children(process: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{process}/task").glob("*/children"):
        for child in map(int, task.read_text().split()):
            found += [child, *_children(child)]
    return found


def _cpu_s(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * _TICK_S


def _memory_mb(processes: Iterable[int], field: str) -> float:
    whole = 0
    for process in processes:
        for line in Path(f"/proc/{process}/status").read_text().splitlines():
            if line.startswith(f"{field}:"):
                whole += int(line.split()[1])
    return whole / 1024
