"""Trains on one machine or several, with PyTorch's own launcher (`torchrun`) and DistributedDataParallel.

One launcher runs on each host; it starts the processes, which find each other at the first host. The job lies in
a file that every host sees, so that command lines carry a path and nothing else.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Literal

from isthmus.core.errors import MissingExtra, RunFailed
from isthmus.core.progress import Progress, Report, silent
from isthmus.core.settings import setting
from isthmus.loop.forecasting.job import Trained, TrainJob
from isthmus.loop.forecasting.train import train

LOCAL = ("localhost", "127.0.0.1")
JOB = "job.json"
FAILURE = "failure.{rank}.json"
PROGRESS = "isthmus-progress "
"""Begins a line of a worker's standard output that tells its progress as JSON."""

_STOP_S = 10.0


@dataclass(frozen=True, slots=True)
class ClusterSettings:
    """Where a training runs. Raises ValueError where a cluster has no host."""

    mode: Literal["local", "cluster"] = setting("one process here, or PyTorch's launcher", default="local")
    hosts: tuple[str, ...] = setting(
        "hosts in the order of their ranks; the first is where all meet", default=("localhost",)
    )
    processes_per_host: int = setting("processes on each host, one for each GPU", default=2, minimum=1, maximum=64)
    backend: Literal["gloo", "nccl"] = setting("how gradients travel: gloo on CPUs, nccl on GPUs", default="gloo")
    port: int = setting(
        "port on the first host where all meet; 0 takes a free one, on this machine alone",
        default=0,
        minimum=0,
        maximum=65_535,
    )
    reach: tuple[str, ...] = setting(
        "command that runs the rest of its line on {host}", default=("ssh", "-o", "BatchMode=yes", "{host}")
    )
    python: str = setting("the Python with Isthmus on the other hosts", default="python3")
    timeout_s: float = setting(
        "a process that is not heard of for this long fails the run", default=600.0, minimum=5.0, unit="s"
    )

    def __post_init__(self) -> None:
        if not self.hosts:
            raise ValueError("hosts is empty")
        if self.port == 0 and any(host not in LOCAL for host in self.hosts):
            raise ValueError("port must be set where hosts other than this one take part")
        if len(set(self.hosts)) < len(self.hosts):
            raise ValueError("a host is named twice")

    @property
    def world(self) -> int:
        """The number of processes."""
        return len(self.hosts) * self.processes_per_host


def train_on(settings: ClusterSettings, job: TrainJob, report: Report = silent) -> Trained:
    """Train as `settings.mode` says; the result is the same kind of folder. Raises what `train` raises.

    With a cluster of p processes the batch of a step is p times `job.settings.batch`. A process or host that
    dies ends all others and raises RunFailed with what it said; called again, the training carries on from the
    last epoch.
    """
    if settings.mode == "local":
        return train(job, report=report)
    try:
        import torch.distributed.run  # noqa: F401  (the launcher must be there before it is started)
    except ImportError as error:
        raise MissingExtra.named("PyTorch", "train") from error
    folder = Path(job.folder).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    for rank in range(settings.world):
        (folder / FAILURE.format(rank=rank)).unlink(missing_ok=True)
    job.write(folder / JOB)
    port = settings.port or _free_port()
    launchers: list[subprocess.Popen[str]] = []
    try:
        for node, host in enumerate(settings.hosts):
            launchers.append(_start(command(settings, node, port, folder / JOB), host))
        _follow(launchers, settings, folder, report)
    finally:
        _stop(launchers)
    return Trained.read(folder)


def command(settings: ClusterSettings, node: int, port: int, job: Path) -> list[str]:
    """Return the command line that runs the launcher of one host."""
    host = settings.hosts[node]
    meeting = "127.0.0.1" if settings.hosts[0] in LOCAL else settings.hosts[0]
    launcher = [
        sys.executable if host in LOCAL else settings.python,
        *("-m", "torch.distributed.run"),
        f"--nnodes={len(settings.hosts)}",
        f"--node-rank={node}",
        f"--nproc-per-node={settings.processes_per_host}",
        f"--master-addr={meeting}",
        f"--master-port={port}",
        *("--module", "isthmus.loop.forecasting.worker"),
        *(str(job), settings.backend, f"{settings.timeout_s:g}"),
    ]
    if host in LOCAL:
        return launcher
    reach = [part.replace("{host}", host) for part in settings.reach]
    return [*reach, shlex.join(launcher)]


@dataclass
class _Told:
    """What the launchers wrote, read by threads so that no pipe ever fills up."""

    lines: queue.SimpleQueue[str] = field(default_factory=queue.SimpleQueue)
    last: deque[str] = field(default_factory=lambda: deque(maxlen=40))

    def listen(self, stream: IO[str]) -> threading.Thread:
        """Read a stream to its end in a thread."""
        thread = threading.Thread(target=self._read, args=(stream,), daemon=True)
        thread.start()
        return thread

    def _read(self, stream: IO[str]) -> None:
        for line in stream:
            if line.startswith(PROGRESS):
                self.lines.put(line.removeprefix(PROGRESS))
            elif line.strip():
                self.last.append(line.strip())


def _follow(
    launchers: Sequence[subprocess.Popen[str]], settings: ClusterSettings, folder: Path, report: Report
) -> None:
    told = _Told()
    threads = [told.listen(stream) for one in launchers if (stream := one.stdout)]
    while True:
        with contextlib.suppress(queue.Empty):
            report(Progress(**json.loads(told.lines.get(timeout=0.1))))
            continue
        codes = [one.poll() for one in launchers]
        failed = [node for node, code in enumerate(codes) if code]
        if failed:
            raise RunFailed(
                f"cluster training failed on {settings.hosts[failed[0]]}: {_reason(folder, settings, told)}",
                "run it again: it carries on from the last epoch",
            )
        if all(code == 0 for code in codes):
            break
    for thread in threads:
        thread.join(timeout=_STOP_S)
    while not told.lines.empty():
        report(Progress(**json.loads(told.lines.get())))


def _reason(folder: Path, settings: ClusterSettings, told: _Told) -> str:
    """Find what the first process that failed said of itself; else the last line that any of them wrote."""
    found: list[tuple[float, str]] = []
    for rank in range(settings.world):
        path = folder / FAILURE.format(rank=rank)
        with contextlib.suppress(OSError, ValueError, KeyError):
            said: dict[str, Any] = json.loads(path.read_text())
            found.append((float(said["at"]), f"process {rank}: {said['what']}"))
    if found:
        return min(found)[1]
    dead = [line for line in told.last if "Signal" in line or "exitcode" in line or "Error" in line]
    said_last = (dead or list(told.last) or ["a process ended without a word"])[-1]
    return " ".join(said_last.split())[:200]


def _start(line: Sequence[str], host: str) -> subprocess.Popen[str]:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
    try:
        return subprocess.Popen(
            line,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env=environment,
            start_new_session=True,  # so that a launcher can be stopped together with its processes
        )
    except OSError as error:
        raise RunFailed(f"{host} cannot be reached with {line[0]}: {error}", "see the setting reach") from error


def _stop(launchers: Sequence[subprocess.Popen[str]]) -> None:
    for one in launchers:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(one.pid, signal.SIGTERM)
    until = time.monotonic() + _STOP_S
    for one in launchers:
        try:
            one.wait(timeout=max(0.1, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(one.pid, signal.SIGKILL)
            one.wait()
        if one.stdout:
            one.stdout.close()


def _free_port() -> int:
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        return int(asked.getsockname()[1])
