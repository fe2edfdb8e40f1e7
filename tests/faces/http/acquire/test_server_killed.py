from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from acquire_serving import IMAGE, parcel
from isthmus.acquire.delivery.package import pack
from isthmus.acquire.delivery.signing import SharedSecret, headers
from isthmus.acquire.queue.sqlite import SqliteLedger

SCRIPT = Path(__file__).resolve().parents[3] / "acquire_server_process.py"


class Server:
    """A server's process."""

    def __init__(self, folder: Path) -> None:
        environment = {**os.environ, "PYTHONPATH": str(SCRIPT.parent)}
        self.process = subprocess.Popen(
            [sys.executable, str(SCRIPT), str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
        )
        assert self.process.stdout is not None
        told = json.loads(self.process.stdout.readline())
        self.port, self.keys, self.secret = told["port"], told["keys"], SharedSecret.of_text(told["signing"])

    def call(
        self, method: str, path: str, body: Any = None, key: str = "client", more: dict[str, str] | None = None
    ) -> Any:
        given = {"Authorization": f"Bearer {self.keys[key]}", "Content-Type": "application/json", **(more or {})}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        with contextlib.closing(connection):
            connection.request(method, path, body if isinstance(body, bytes) else json.dumps(body or {}), given)
            answer = connection.getresponse()
            text = answer.read()
            assert answer.status < 300, text
            return json.loads(text)

    def deliver(self, claimed: Any, content: bytes) -> Any:
        packed = pack("a1", [parcel(task, content) for task in claimed["tasks"]])
        path = "/v1/" + claimed["callback"].partition("/v1/")[2]
        signed = headers(self.secret, packed.digest, datetime.now(UTC))
        return self.call("POST", path, b"".join(packed.stretches()), "agent", signed)["verdicts"]

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                stream.close()


@contextlib.contextmanager
def server(folder: Path) -> Iterator[Server]:
    running = Server(folder)
    try:
        yield running
    finally:
        running.kill()


def wish(record: str) -> dict[str, str]:
    return {"address": "http://store/1.jpg", "environment": "video", "record": record}


CLAIM = {"agent": "a1", "most": 16, "wait_s": 0}


def test_what_was_answered_is_there_after_a_kill_and_asking_again_makes_no_second_batch(tmp_path: Path) -> None:
    answered: dict[int, str] = {}
    with server(tmp_path) as first:

        def ask(number: int) -> None:
            more = {"Idempotency-Key": f"k{number}"}
            with contextlib.suppress(OSError, http.client.HTTPException):
                answered[number] = first.call("POST", "/v1/acquisitions", wish(f"r{number}"), more=more)["batch"]

        asking = [threading.Thread(target=ask, args=(number,)) for number in range(24)]
        for thread in asking:
            thread.start()
        while not answered:
            asking[0].join(0.001)
        first.kill()
        for thread in asking:
            thread.join()
    with server(tmp_path) as second:
        for number in range(24):
            more = {"Idempotency-Key": f"k{number}"}
            told = second.call("POST", "/v1/acquisitions", wish(f"r{number}"), more=more)
            if number in answered:
                assert (told["batch"], told["again"]) == (answered[number], True)
        assert len(second.call("GET", "/v1/batches")) == 24


def test_a_delivery_cut_off_by_a_kill_counts_once_when_it_comes_again(tmp_path: Path) -> None:
    (tmp_path / "hold").touch()
    with server(tmp_path) as first:
        batch = first.call("POST", "/v1/acquisitions", wish("r1"))["batch"]
        claimed = first.call("POST", "/v1/agent/claim", CLAIM, "agent")

        def cut_off() -> None:
            with contextlib.suppress(OSError, http.client.HTTPException):
                first.deliver(claimed, IMAGE)

        delivering = threading.Thread(target=cut_off)
        delivering.start()
        while not (tmp_path / "held").exists():
            delivering.join(0.005)
        first.kill()
        delivering.join()
    (tmp_path / "hold").unlink()
    with server(tmp_path) as second:
        assert second.deliver(claimed, IMAGE) == ["filed"]
        assert second.deliver(claimed, IMAGE) == ["again"]
        assert second.call("GET", f"/v1/batches/{batch}")["counts"] == {"done": 1}
    ledger = SqliteLedger(tmp_path / "ledger.sqlite")
    assert [event.kind for event in ledger.events(0)] == ["done"]
    ledger.close()


def test_leases_and_large_leftovers_of_a_killed_server_are_taken_over(tmp_path: Path) -> None:
    with server(tmp_path) as first:
        first.call("POST", "/v1/acquisitions", wish("r1"))
        claimed = first.call("POST", "/v1/agent/claim", CLAIM, "agent")
        (tmp_path / "incoming" / "left.part").write_bytes(b"half")
        first.kill()
    with server(tmp_path) as second:
        held = [{"request": task["request"], "fence": task["fence"]} for task in claimed["tasks"]]
        assert second.call("POST", "/v1/agent/claim", CLAIM, "agent")["tasks"] == []
        assert second.call("POST", "/v1/agent/beat", {"agent": "a1", "held": held}, "agent") == []
        assert not (tmp_path / "incoming" / "left.part").exists()
        assert second.deliver(claimed, IMAGE) == ["filed"]
