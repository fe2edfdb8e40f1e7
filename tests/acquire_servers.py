"""Real servers for tests of the queue: PostgreSQL and NATS, each on a free port in a folder of its own."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

_WAIT_S = 60


def free_port() -> int:
    """Return a port of loopback that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _programs() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[4]))
    if found:
        return found[-1].parent
    single = shutil.which("initdb")
    return Path(single).resolve().parent if single else None


class Postgres:
    """A PostgreSQL server that can be stopped the hard way and started again."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self._programs, self._folder = programs, folder
        self._as: list[str] = []
        if os.geteuid() == 0:  # it refuses to run as root
            pwd.getpwnam("postgres")
            self._as = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
            shutil.chown(folder, "postgres", "postgres")
        self.port = free_port()
        self._state = folder / "state"
        self._run(
            "initdb", "-D", str(self._state), "-A", "trust", "-U", "isthmus", "-E", "UTF8", "--no-locale", "-N"
        )
        self.start()

    @property
    def dsn(self) -> str:
        """How to connect."""
        return f"host=127.0.0.1 port={self.port} user=isthmus dbname=postgres"

    def start(self) -> None:
        """Start, and wait until it answers."""
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={self._folder}"
        self._run(
            "pg_ctl", "-D", str(self._state), "-w", "-t", str(_WAIT_S), "-l", str(self._folder / "log"),
            "-o", f"{options} -c shared_buffers=64MB -c max_connections=60 -c max_wal_size=512MB", "start",
        )  # fmt: skip

    def stop(self, how: str = "immediate") -> None:
        """Stop: immediate is what a crash does."""
        self._run("pg_ctl", "-D", str(self._state), "-w", "-m", how, "stop")

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [*self._as, str(self._programs / program), *arguments], check=True, cwd=self._folder,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT,
        )  # fmt: skip


@contextlib.contextmanager
def postgres() -> Iterator[Postgres]:
    """Run a PostgreSQL server; skip the test where it is not installed."""
    programs = _programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    pytest.importorskip("psycopg", reason="pip install 'psycopg[binary]'")
    folder = Path(tempfile.mkdtemp(prefix="isthmus-postgres-"))
    try:
        server = Postgres(programs, folder)
        try:
            yield server
        finally:
            with contextlib.suppress(subprocess.CalledProcessError):  # a test may have stopped it
                server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def nats() -> Iterator[str]:
    """Run a NATS server and yield its address; skip the test where it is not installed."""
    program = shutil.which("nats-server")
    if program is None:
        pytest.skip("nats-server is not installed: apt-get install nats-server")
    pytest.importorskip("nats", reason="pip install nats-py")
    port = free_port()
    with subprocess.Popen(
        [program, "-a", "127.0.0.1", "-p", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as server:
        assert server.stderr is not None
        try:
            for line in server.stderr:
                if "Server is ready" in line:
                    break
            yield f"nats://127.0.0.1:{port}"
        finally:
            server.terminate()
            server.communicate()
