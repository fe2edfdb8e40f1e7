"""The doors of operations and works, and what surrounds all doors, as any caller meets them."""

from __future__ import annotations

import contextlib
import gzip
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from hub_serving import Served, serving
from isthmus.app.people.person import Role
from isthmus.faces.http.hub.application import MOST_BODY
from works_making import QUICK

PROBLEM = "application/problem+json"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("served")) as served:
        yield served


@pytest.fixture
def call(served: Served) -> Iterator[Callable[..., httpx.Response]]:
    with httpx.Client(base_url=served.url, trust_env=False, timeout=30) as client:

        def ask(method: str, path: str, role: Role | None = Role.ADMIN, **more: Any) -> httpx.Response:
            headers = dict(more.pop("headers", {}))
            if role is not None:
                headers["authorization"] = f"Bearer {served.keys[role]}"
            return client.request(method, path, headers=headers, **more)

        yield ask


Call = Callable[..., httpx.Response]


def test_an_operation_is_begun_and_its_work_found(call: Call) -> None:
    answer = call("POST", "/v1/operations/go")
    assert answer.status_code == 202
    place = answer.headers["location"]
    assert place == f"/v1/works/{answer.json()['id']}"
    waited = call("POST", "/v1/operations/go", headers={"prefer": "respond-async, wait=30"})
    assert (waited.status_code, waited.headers["preference-applied"]) == (200, "wait=30")
    assert waited.json()["state"] == "done"
    assert call("GET", place).json()["operation"] == "go"


def test_one_who_waits_too_short_is_told_how_it_stands(call: Call) -> None:
    answer = call("POST", "/v1/operations/stay", headers={"prefer": "wait=1"})
    assert answer.status_code == 202
    ended = call("DELETE", answer.headers["location"])
    assert ended.status_code in (200, 202)


def test_each_wrong_argument_is_a_line_of_the_problem(call: Call) -> None:
    answer = call("POST", "/v1/operations/tell", json={"count": "x", "nothing": 1})
    assert (answer.status_code, answer.headers["content-type"]) == (422, PROBLEM)
    assert [one["what"].partition(";")[0] for one in answer.json()["lines"]] == [
        "tell takes no 'nothing'",
        "name is needed: a name",
        "count is no whole number: 'x'",
    ]


@pytest.mark.parametrize(
    ("method", "path", "more", "status"),
    [
        ("GET", "/v1/nothing", {}, 404),
        ("GET", "/v1/works/nothing", {}, 404),
        ("GET", "/v1/works?limit=0", {}, 422),
        ("GET", "/v1/works?nothing=1", {}, 422),
        ("GET", "/v1/works?after=%00", {}, 422),
        ("GET", "/v1/works?limit=1&limit=2", {}, 422),
        ("GET", "/v1/operations?after=bm9wZQ", {}, 422),
        ("PUT", "/v1/works", {}, 405),
        ("POST", "/v1/operations/nothing", {}, 404),
        ("POST", "/v1/operations/go", {"content": b"{"}, 400),
        ("POST", "/v1/operations/go", {"content": b"[1]"}, 422),
        ("POST", "/v1/operations/go", {"content": b'{"a":' * 100_000}, 400),
        ("POST", "/v1/operations/go", {"content": b"a=1", "headers": {"content-type": "text/plain"}}, 415),
        ("POST", "/v1/operations/go", {"content": b"x", "headers": {"content-type": "multipart/form-data"}}, 400),
        ("DELETE", "/v1/works/nothing", {}, 404),
        ("GET", "/v1/works/nothing/events", {}, 404),
        ("GET", "/v1/works/nothing/files/a", {}, 404),
    ],
)
def test_whatever_goes_wrong_is_a_problem(call: Call, method: str, path: str, more: Any, status: int) -> None:
    answer = call(method, path, **more)
    assert (answer.status_code, answer.headers["content-type"]) == (status, PROBLEM), answer.text
    assert answer.json()["status"] == status
    assert answer.json()["detail"]


def test_a_body_that_is_too_long_is_refused_before_it_is_read_to_its_end(call: Call) -> None:
    answer = call("POST", "/v1/sql", content=b" " * (MOST_BODY + 1))
    assert answer.status_code == 413

    def endless() -> Iterator[bytes]:
        while True:
            yield b" " * 65_536

    with contextlib.suppress(httpx.WriteError):  # the server closed the line while we were still sending
        assert call("POST", "/v1/sql", content=endless()).status_code == 413


def test_nobody_passes_without_a_key_and_a_role_is_asked_for(call: Call) -> None:
    for method, path in (("GET", "/v1/works"), ("GET", "/v1/operations"), ("POST", "/v1/operations/tell")):
        answer = call(method, path, role=None)
        assert (answer.status_code, answer.headers["content-type"]) == (401, PROBLEM)
        assert answer.headers["www-authenticate"].startswith("Bearer")
    refused = call("POST", "/v1/operations/go", role=Role.VIEWER, content=b"{ not even read")
    assert (refused.status_code, refused.json()["detail"]) == (
        403,
        "go needs the role operator; the-viewer is viewer",
    )
    assert call("POST", "/v1/operations/tell", role=Role.VIEWER, json={"name": "a"}).status_code == 202


def test_every_answer_has_the_headers_that_keep_pages_to_themselves(call: Call) -> None:
    for path in ("/v1/works", "/v1/nothing", "/health", "/docs", "/login"):
        headers = call("GET", path).headers
        assert "default-src 'self'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-request-id"]


def test_a_foreign_name_is_not_answered_to(call: Call) -> None:
    answer = call("GET", "/health", headers={"host": "evil.example"})
    assert (answer.status_code, answer.headers["content-type"]) == (421, PROBLEM)
    assert "default-src" in answer.headers["content-security-policy"]


def test_a_file_that_a_page_could_run_is_only_for_saving(call: Call, served: Served) -> None:
    id = call("POST", "/v1/operations/go", headers={"prefer": "wait=30"}).json()["id"]
    folder = served.folder / "state/works" / id / "files"
    for name in ("a.html", "a.svg", "a.js", "a.png"):
        (folder / name).write_text("<script>alert(1)</script>")
    row = served.runner.get(id)
    served.runner._ledger.end(replace(row, files=("a.html", "a.svg", "a.js", "a.png")))
    for name in ("a.html", "a.svg", "a.js"):
        headers = call("GET", f"/v1/works/{id}/files/{name}").headers
        assert headers["content-type"] == "application/octet-stream"
        assert headers["content-disposition"].startswith("attachment")
    assert call("GET", f"/v1/works/{id}/files/a.png").headers["content-disposition"].startswith("inline")
    part = call("GET", f"/v1/works/{id}/files/a.png", headers={"range": "bytes=1-6"})
    assert (part.status_code, part.text) == (206, "script")


def test_names_of_files_lead_nowhere_else(call: Call) -> None:
    id = call("POST", "/v1/operations/go", headers={"prefer": "wait=30"}).json()["id"]
    for name in (
        "../stdout.txt",
        "%2e%2e/stdout.txt",
        "..%2f..%2fworks.sqlite",
        "/etc/hostname",
        "%2fetc/hostname",
    ):
        assert call("GET", f"/v1/works/{id}/files/{name}").status_code == 404


def test_long_answers_are_packed_for_who_can_unpack_them(call: Call, served: Served) -> None:
    packing = {"accept-encoding": "gzip"}
    with httpx.stream("GET", f"{served.url}/openapi.json", headers=packing, trust_env=False) as answer:
        packed = b"".join(answer.iter_raw())
    assert answer.headers["content-encoding"] == "gzip"
    assert json.loads(gzip.decompress(packed)) == call("GET", "/openapi.json").json()


def test_the_description_names_every_operation_with_its_arguments_and_role(call: Call) -> None:
    document = call("GET", "/openapi.json", role=None).json()
    assert document["openapi"].startswith("3.1")
    tell = document["paths"]["/v1/operations/tell"]["post"]
    assert set(tell["requestBody"]["content"]) == {"application/json", "multipart/form-data"}
    schema = tell["requestBody"]["content"]["application/json"]["schema"]
    assert schema["required"] == ["name"]
    assert schema["properties"]["count"] == {"type": "integer", "minimum": 1, "maximum": 10}
    assert schema["properties"]["form"]["enum"] == ["csv", "table"]
    assert "photo" not in schema["properties"]
    assert tell["description"] == "From the role viewer upward."
    assert set(tell["responses"]) >= {"200", "202", "400", "401", "403", "413", "415", "422", "429"}
    ids = [one["operationId"] for path in document["paths"].values() for one in path.values()]
    assert len(ids) == len(set(ids))
    page = call("GET", "/docs", role=None)
    assert "/v1/operations/tell" in page.text
    assert "<script" not in page.text


def test_health_and_metrics_are_told(call: Call) -> None:
    assert call("GET", "/health", role=None).json() == {"status": "ok", "why": ""}
    call("POST", "/v1/operations/go", headers={"prefer": "wait=30"})
    text = call("GET", "/metrics", role=None).text
    assert 'isthmus_http_requests_total{method="GET",status="200"}' in text
    assert 'isthmus_works{state="done"}' in text


def test_too_much_at_a_time_is_told_and_not_an_error_of_the_server(tmp_path: Path) -> None:
    with serving(tmp_path, replace(QUICK, at_once=1, waiting=1)) as served:
        headers = {"authorization": f"Bearer {served.keys[Role.ADMIN]}"}
        with httpx.Client(base_url=served.url, trust_env=False, headers=headers) as client:
            answers = [client.post("/v1/operations/stay") for _ in range(3)]
        assert [one.status_code for one in answers] == [202, 202, 429]
        assert answers[2].headers["retry-after"]


def test_an_operation_stands_in_the_audit_log_with_its_work(call: Call) -> None:
    id = call("POST", "/v1/operations/go").json()["id"]
    acts = call("GET", "/v1/audit").json()["items"]
    assert any("go" in json.dumps(one) and id in json.dumps(one) for one in acts)


def test_heads_are_answered_without_a_body(call: Call) -> None:
    begun = time.monotonic()
    for path in ("/v1/works", "/health", "/v1/events"):
        assert call("HEAD", path).content == b""
    assert time.monotonic() - begun < 25  # a stream would go on


def test_a_browser_that_is_lost_gets_a_page_and_a_program_a_problem(call: Call) -> None:
    page = call("GET", "/nothing", headers={"accept": "text/html,*/*"})
    assert (page.status_code, page.headers["content-type"].partition(";")[0]) == (404, "text/html")
    for accept, path in (("application/json", "/nothing"), ("*/*", "/nothing"), ("text/html", "/v1/nothing")):
        answer = call("GET", path, headers={"accept": accept})
        assert (answer.status_code, answer.headers["content-type"]) == (404, PROBLEM)
    stranger = call("GET", "/nothing", role=None, headers={"accept": "text/html"})
    assert stranger.headers["location"] == "/login?next=%2Fnothing"
    assert call("POST", "/nothing", headers={"accept": "text/html"}).status_code == 404
