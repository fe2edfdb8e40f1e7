"""The sync server's doors: what each answers, to those who mean well and to those who do not."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from gallery_sites import OUTER, SYNC, UNGATED, write
from isthmus.app.galleries.config import read_gallery_config
from isthmus.app.galleries.serving import SyncService
from isthmus.core.errors import Busy
from isthmus.core.prometheus import CONTENT_TYPE
from isthmus.faces.http import metrics, sync
from isthmus.gallery import enrolment
from isthmus.gallery.registry import Devices
from isthmus.transfer.inbound import Inbound
from isthmus.transfer.signing import PublicKey, SigningKey


class Doors:
    """Knocks at the application as a server would, without one."""

    def __init__(self, folder: Path, toml: str = "") -> None:
        (folder / "gate-outer").mkdir(exist_ok=True)
        toml = toml or OUTER.format(extractor="phash", trust=SigningKey.create().public)
        self.site = write(folder / "outer", toml + SYNC.format(port=0))
        self.said: list[str] = []

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        self.service = SyncService(read_gallery_config(self.site / "isthmus.toml"), self.said.append)
        self.service.check()
        self.app = sync.application(self.service)
        waiting: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        told: asyncio.Queue[Any] = asyncio.Queue()
        life = asyncio.create_task(self.app({"type": "lifespan"}, waiting.get, told.put))  # type: ignore[arg-type]
        await waiting.put({"type": "lifespan.startup"})
        assert (await told.get())["type"] == "lifespan.startup.complete"
        try:
            yield
        finally:
            await waiting.put({"type": "lifespan.shutdown"})
            assert (await told.get())["type"] == "lifespan.shutdown.complete"
            await life

    def enrol(self) -> None:
        devices = self.service.devices
        devices.enrol(devices.invite("b12", (), by="anna"), SigningKey.create().public)

    async def ask(self, method: str, path: str, *pieces: bytes) -> tuple[int, dict[str, str], bytes]:
        messages = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
        messages.append({"type": "http.request", "body": b"", "more_body": False})
        told: list[Any] = []

        async def receive() -> Any:
            return messages.pop(0)

        async def send(message: Any) -> None:
            told.append(message)

        await self.app(_scope("http", method=method, path=path), receive, send)
        heads = {name.decode(): value.decode() for name, value in told[0]["headers"]}
        return told[0]["status"], heads, b"".join(message.get("body", b"") for message in told[1:])

    async def call(self, *texts: Any, refuses_close: bool = False) -> list[Any]:
        """Open a WebSocket to the signalling, send what is given, and hang up."""
        messages: list[Any] = [{"type": "websocket.connect"}]
        messages += [{"type": "websocket.receive", **text} for text in texts]
        messages.append({"type": "websocket.disconnect", "code": 1000})
        told: list[Any] = []

        async def receive() -> Any:
            await asyncio.sleep(0)
            return messages.pop(0) if messages else {"type": "websocket.disconnect", "code": 1000}

        async def send(message: Any) -> None:
            told.append(message)
            if refuses_close and message["type"] == "websocket.close":
                raise OSError("the other side is gone")

        await self.app(_scope("websocket", path="/v1/signal"), receive, send)
        return told


async def let_in(receive: Any, send: Any, known: Callable[[str], PublicKey | None], *_: Any) -> tuple[str, Any]:
    """Stand for the signalling with a device that means well."""
    assert known("b12") is not None
    return "b12", None


def _scope(kind: str, **more: Any) -> dict[str, Any]:
    return {"type": kind, "headers": [], "query_string": b"", "root_path": "", "http_version": "1.1", **more}


def run(doors: Doors, story: Callable[[], Coroutine[Any, Any, None]]) -> None:
    async def whole() -> None:
        async with doors.open():
            await story()

    asyncio.run(whole())


def problem(answer: tuple[int, dict[str, str], bytes], status: int) -> dict[str, Any]:
    assert answer[0] == status
    assert answer[1]["content-type"] == "application/problem+json"
    told: dict[str, Any] = json.loads(answer[2])
    assert told["status"] == status
    return told


def test_status_and_health_tell_names_and_counts(tmp_path: Path) -> None:
    doors = Doors(tmp_path)

    async def story() -> None:
        code, _, body = await doors.ask("GET", "/health")
        assert (code, json.loads(body)) == (200, {"status": "ok", "why": ""})
        told = json.loads((await doors.ask("GET", "/v1/status"))[2])
        assert (told["site"], told["galleries"], told["failure"]) == ("outer", [], "")
        assert told["devices"] == {"invited": 0, "enrolled": 0, "revoked": 0}

    run(doors, story)


def test_a_site_without_a_gate_has_its_doors_too(tmp_path: Path) -> None:
    doors = Doors(tmp_path, UNGATED)

    async def story() -> None:
        assert json.loads((await doors.ask("GET", "/v1/status"))[2])["gate"] is None
        assert (await doors.ask("GET", "/health"))[0] == 200
        assert b"isthmus_gate" not in (await doors.ask("GET", "/metrics"))[2]

    run(doors, story)


LABEL = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*"'
SAMPLE = re.compile(rf"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{{({LABEL}(?:,{LABEL})*)\}})? (-?[0-9.e+]+|NaN|[+-]Inf)")


def parsed(text: str) -> dict[tuple[str, str], float]:
    """Read Prometheus' text format 0.0.4 by its rules: help, type, then the samples of that one metric."""
    assert text.endswith("\n")
    found: dict[tuple[str, str], float] = {}
    metric, kinds = "", {}
    for line in text.splitlines():
        if line.startswith("# HELP "):
            metric = line.split(" ")[2]
            assert metric not in kinds, "the lines of a metric are together"
        elif line.startswith("# TYPE "):
            name, kind = line.split(" ")[2:]
            assert (name, kind in ("counter", "gauge")) == (metric, True)
            assert kind != "counter" or name.endswith("_total")
            kinds[name] = kind
        else:
            sample = SAMPLE.fullmatch(line)
            assert sample, line
            assert sample[1] == metric
            assert (sample[1], sample[2] or "") not in found
            found[sample[1], sample[2] or ""] = float(sample[3])
    return found


def test_metrics_follow_the_rules_of_the_text_format(tmp_path: Path) -> None:
    doors = Doors(tmp_path)

    async def story() -> None:
        code, heads, body = await doors.ask("GET", "/metrics")
        assert (code, heads["content-type"]) == (200, CONTENT_TYPE)
        told = parsed(body.decode())
        assert told["isthmus_following", ""] == 1
        assert told["isthmus_devices", 'state="enrolled"'] == 0
        assert told["isthmus_gate_lag", 'stream="galleries"'] == 0

    run(doors, story)


def test_odd_names_and_large_numbers_come_out_whole() -> None:
    gallery = {"gallery": 'a"\\\nb', "records": 123_456_789, "image_bytes": 2**40 + 1, "refused": 0, "vectors": 0}
    sessions = dict.fromkeys(("active", "served", "refused", "content_bytes", "items", "removed"), 0)
    status = {
        "gate": None,
        "alarms": [],
        "galleries": [gallery],
        "devices": {},
        "sessions": sessions,
        "failure": "x",
    }
    told = parsed(metrics.exposition(status))
    assert told["isthmus_gallery_records", 'gallery="a\\"\\\\\\nb"'] == 123_456_789
    assert told["isthmus_gallery_image_bytes", 'gallery="a\\"\\\\\\nb"'] == 2**40 + 1
    assert told["isthmus_following", ""] == 0


def test_unknown_paths_and_methods_are_told_as_problems(tmp_path: Path) -> None:
    doors = Doors(tmp_path)

    async def story() -> None:
        assert problem(await doors.ask("GET", "/v1/images"), 404)["title"] == "Not Found"
        answer = await doors.ask("GET", "/v1/devices/enrol")
        assert problem(answer, 405)
        assert answer[1]["allow"] == "POST"

    run(doors, story)


def test_a_state_that_cannot_be_read_is_a_problem_and_no_health(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    doors = Doors(tmp_path)

    async def story() -> None:
        def busy(inbound: Inbound) -> Any:
            raise Busy("the state is held", "try again")

        monkeypatch.setattr(Inbound, "status", busy)
        assert problem(await doors.ask("GET", "/v1/status"), 503)["title"] == "the state is held"
        code, _, body = await doors.ask("GET", "/health")
        assert (code, json.loads(body)["why"]) == (503, "the state is held; try again")

    run(doors, story)


def test_a_device_is_enrolled_once_and_never_by_what_is_malformed_oversized_or_too_late(tmp_path: Path) -> None:
    doors = Doors(tmp_path)

    async def story() -> None:
        service = doors.service
        key = SigningKey.create()
        devices: Devices = service.devices
        token, late = (
            devices.invite("b12", (), by="anna"),
            devices.invite("b13", (), by="anna", valid=timedelta(seconds=-1)),
        )
        for body in (b"", b"{}", b"\xff\xfe", b"[1]", b'{"token": "x", "key": "y", "proof": ""}'):
            assert problem(await doors.ask("POST", "/v1/devices/enrol", body), 403)
        many = (b"a" * 1000,) * 1000
        assert problem(await doors.ask("POST", "/v1/devices/enrol", *many), 413)
        told = problem(await doors.ask("POST", "/v1/devices/enrol", enrolment.request(late, key)), 403)
        assert "has expired" in told["title"]
        forged = enrolment.request(token, key).replace(str(key.public).encode(), str(service.key.public).encode())
        assert problem(await doors.ask("POST", "/v1/devices/enrol", forged), 403)
        good = enrolment.request(token, key)
        code, _, body = await doors.ask("POST", "/v1/devices/enrol", good[:40], good[40:])
        assert (code, enrolment.of_answer(body).device) == (200, "b12")
        assert problem(await doors.ask("POST", "/v1/devices/enrol", good), 403)
        assert [one.state.value for one in devices.list()] == ["enrolled", "invited"]

    run(doors, story)


JUNK = [
    {"text": "hello"},
    {"text": "{}"},
    {"bytes": bytes(100)},
    {"text": "[" * 5000},
    {"text": "{" + "a" * 70_000},
]


@pytest.mark.parametrize("junk", JUNK, ids=["words", "empty", "bytes", "deep", "long"])
def test_junk_on_the_signalling_is_refused_and_counted(tmp_path: Path, junk: dict[str, Any]) -> None:
    doors = Doors(tmp_path)

    async def story() -> None:
        told = await doors.call(junk)
        assert told[0]["type"] == "websocket.accept"
        assert told[-1]["type"] == "websocket.close"
        assert doors.service.counts.refused == 1
        assert (await doors.ask("GET", "/health"))[0] == 200
        assert not doors.service.active

    run(doors, story)


def test_a_device_that_hangs_up_early_is_served_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    doors = Doors(tmp_path)
    served: list[str] = []

    async def session(device: str, key: PublicKey, channel: Any) -> None:
        served.append(device)
        assert doors.service.known(device) == key

    async def story() -> None:
        doors.enrol()
        monkeypatch.setattr(sync, "accept", let_in)
        monkeypatch.setattr(doors.service, "session", session)
        await doors.call(refuses_close=True)

    run(doors, story)
    assert served == ["b12"]


def test_the_end_of_the_server_ends_the_sessions_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    doors = Doors(tmp_path)
    ended: list[str] = []

    async def session(device: str, key: PublicKey, channel: Any) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(device)

    async def story() -> None:
        doors.enrol()
        monkeypatch.setattr(sync, "accept", let_in)
        monkeypatch.setattr(doors.service, "session", session)
        call = asyncio.create_task(doors.call())
        while not doors.service.active:
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        await doors.service.end_sessions()
        await call

    run(doors, story)
    assert ended == ["b12"]
    assert not doors.service.active


def test_too_many_at_once_are_told_to_come_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    doors = Doors(tmp_path)
    monkeypatch.setattr(sync, "_AT_ONCE", 0)

    async def story() -> None:
        assert await doors.call() == [{"type": "websocket.close", "code": 1013, "reason": ""}]

    run(doors, story)
