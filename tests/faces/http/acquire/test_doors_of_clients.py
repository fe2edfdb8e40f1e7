from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acquire_serving import IMAGE, Reply, Site, serving
from examples import examples


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with serving(tmp_path_factory.mktemp("server")) as running:
        yield running


def wish(record: str = "r1", **more: Any) -> dict[str, Any]:
    return {"address": "http://store/1.jpg", "environment": "quiet", "record": record, **more}


def is_problem(reply: Reply, status: int, word: str = "") -> bool:
    assert reply.status == status, reply
    assert reply.headers["content-type"] == "application/problem+json"
    assert reply.json["status"] == status
    assert reply.json["type"] == "about:blank"
    assert word in reply.json["detail"]
    return True


def test_a_batch_is_answered_with_where_to_look(site: Site) -> None:
    reply = site.call("POST", "/v1/acquisitions?label=night", [wish("a"), wish("b")])
    told = reply.json
    assert reply.status == 202
    assert reply.headers["location"] == told["status"] == f"/v1/batches/{told['batch']}"
    assert (told["requests"], told["following"], told["again"]) == (2, 0, False)
    batch = site.call("GET", told["status"]).json
    assert (batch["owner"], batch["label"], batch["counts"]) == ("client", "night", {"queued": 2})


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b'{"address":"a","environment":"quiet","record":"x"}\n', "application/x-ndjson"),
        (b"address;environment;record\na;quiet;x\n", "text/csv; charset=utf-8"),
        (
            b'--B\r\nContent-Disposition: form-data; name="label"\r\n\r\nup\r\n--B\r\n'
            b'Content-Disposition: form-data; name="f"; filename="list.csv"\r\n\r\n'
            b"address,environment,record\na,quiet,x\r\n--B--\r\n",
            "multipart/form-data; boundary=B",
        ),
    ],
)
def test_lines_tables_and_uploads_are_taken(site: Site, body: bytes, content_type: str) -> None:
    reply = site.call("POST", "/v1/acquisitions", body, headers={"Content-Type": content_type})
    assert (reply.status, reply.json["requests"]) == (202, 1)


def test_an_idempotency_key_makes_one_batch_and_no_other(site: Site) -> None:
    headers = {"Idempotency-Key": "order-77"}
    first = site.call("POST", "/v1/acquisitions", wish(), headers=headers).json
    again = site.call("POST", "/v1/acquisitions", wish(), headers=headers).json
    assert (first["again"], again["again"]) == (False, True)
    assert first["batch"] == again["batch"]
    assert is_problem(site.call("POST", "/v1/acquisitions", wish("r2"), headers=headers), 422, "Idempotency-Key")
    other = site.call("POST", "/v1/acquisitions", wish(), "other", headers).json
    assert other["batch"] != first["batch"]
    assert is_problem(site.call("POST", "/v1/acquisitions", wish(), headers={"Idempotency-Key": "a b"}), 422)


def test_wrong_lines_are_told_and_nothing_is_taken(site: Site) -> None:
    before = len(site.call("GET", "/v1/batches?most=1000").json)
    reply = site.call("POST", "/v1/acquisitions", [wish("a"), wish("b", priority=99), wish("a")])
    assert is_problem(reply, 422, "2 lines are wrong; nothing was taken")
    assert [one["line"] for one in reply.json["lines"]] == [2, 3]
    many = site.call("POST", "/v1/acquisitions", [wish(str(number), priority=99) for number in range(30)])
    assert (len(many.json["lines"]), many.json["more"]) == (20, 10)
    assert len(site.call("GET", "/v1/batches?most=1000").json) == before


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"{", {"Content-Type": "application/json"}, 422),
        (b"x", {"Content-Type": "image/png"}, 415),
        (b"x", {"Content-Type": "multipart/form-data"}, 400),
        (b"x", {"Content-Type": "multipart/form-data; boundary=B"}, 400),
        (b"--B--\r\n", {"Content-Type": "multipart/form-data; boundary=B"}, 422),
        (b"", {"Content-Type": "application/json"}, 422),
    ],
)
def test_bodies_that_cannot_be_read_are_told_so(
    site: Site, body: bytes, headers: dict[str, str], status: int
) -> None:
    assert is_problem(site.call("POST", "/v1/acquisitions", body, headers=headers), status)


def test_a_body_that_announces_too_much_is_refused_unread(site: Site) -> None:
    reply = site.call(
        "POST", "/v1/acquisitions", b"[]", headers={"Content-Type": "text/csv", "Content-Length": "999999999"}
    )
    assert is_problem(reply, 413)


def test_batches_are_steered(site: Site) -> None:
    batch = site.ask("s1", "s2", environment="quiet")
    assert site.call("POST", f"/v1/batches/{batch}/pause").json == {"changed": 2}
    assert site.call("GET", f"/v1/batches/{batch}").json["paused"] is True
    assert site.call("POST", f"/v1/batches/{batch}/resume").json == {"changed": 2}
    assert site.call("POST", f"/v1/batches/{batch}/retry", {"requests": []}).json == {"changed": 0}
    assert site.call("POST", f"/v1/batches/{batch}/cancel").json == {"changed": 2}
    assert site.states(batch) == {"cancelled": 2}
    assert is_problem(site.call("POST", f"/v1/batches/{batch}/cancel", {"requests": [1]}), 422)
    assert site.call("GET", f"/v1/requests?batch={batch}&state=&kind=&taken_from=").status == 200
    assert is_problem(site.call("POST", f"/v1/batches/{batch}/retry", b"{"), 400)
    assert is_problem(site.call("POST", f"/v1/batches/{batch}/retry", {"requests": ["x"]}), 422)
    assert is_problem(site.call("POST", f"/v1/batches/{batch}/burn", {}), 404)
    assert is_problem(site.call("POST", "/v1/batches/none/cancel"), 404)


def test_a_client_sees_and_steers_its_own_and_a_viewer_sees_all(site: Site) -> None:
    batch = site.ask("own1", environment="quiet")
    (line,) = site.call("GET", f"/v1/requests?batch={batch}").json
    for path in (f"/v1/batches/{batch}", f"/v1/requests/{line['request']}", f"/v1/events?batch={batch}"):
        assert is_problem(site.call("GET", path, key="other"), 404)
    for path in (f"/v1/batches/{batch}", f"/v1/requests/{line['request']}"):
        assert site.call("GET", path, key="viewer").status == 200
    assert is_problem(site.call("POST", f"/v1/batches/{batch}/cancel", key="other"), 404)
    assert is_problem(site.call("POST", f"/v1/batches/{batch}/cancel", key="viewer"), 403)
    assert batch not in [one["batch"] for one in site.call("GET", "/v1/batches?most=1000", key="other").json]
    assert site.call("GET", f"/v1/requests?batch={batch}", key="other").json == []
    assert site.call("POST", f"/v1/batches/{batch}/cancel", key="operator").json == {"changed": 1}


def test_lists_are_narrowed_and_paged(site: Site) -> None:
    batch = site.ask("l1", "l2", "l3", environment="quiet", tags=["red"])
    first = site.call("GET", f"/v1/requests?batch={batch}&most=2&tag=red&state=queued,leased").json
    rest = site.call("GET", f"/v1/requests?batch={batch}&most=2&after={first[-1]['request']}").json
    assert [one["wish"]["record"] for one in first + rest] == ["l1", "l2", "l3"]
    newest = site.call("GET", f"/v1/requests?batch={batch}&newest=true&most=1").json
    assert newest[0]["wish"]["record"] == "l3"
    assert newest[0]["state"] == "queued"
    wrong = ("state=done,asleep", "most=0", "most=x", "colour=red", "after=-1", "most=1&most=2", "taken_from=soon")
    for bad in (*wrong, "taken_from=2026-01-01T00:00:00"):
        assert is_problem(site.call("GET", f"/v1/requests?{bad}"), 422)
    assert is_problem(site.call("GET", "/v1/requests/99999999999999999999"), 404)
    assert is_problem(site.call("GET", "/v1/requests/abc"), 404)
    assert is_problem(site.call("GET", "/v1/batches?after=none"), 404)


def test_a_thumbnail_is_sent_and_what_is_no_image_is_not_found(site: Site) -> None:
    site.ask("t1")
    claimed = site.claim()
    assert site.deliver(claimed, [IMAGE]).json == {"verdicts": ["filed"]}
    number = claimed["tasks"][0]["request"]
    digest = site.call("GET", f"/v1/requests/{number}").json["filed"]["digest"]
    small = site.call("GET", f"/v1/images/{digest}/thumbnail?edge=64")
    assert (small.status, small.body) == (200, b"\xff\xd8 small")
    assert site.call("GET", f"/v1/images/{digest}/thumbnail", headers={"If-None-Match": "*"}).status == 304
    assert is_problem(site.call("GET", f"/v1/images/{digest}/thumbnail?edge=9"), 422)
    assert is_problem(site.call("GET", f"/v1/images/{digest}/thumbnail?edge=33"), 422, "drawn")
    assert is_problem(site.call("GET", f"/v1/images/{'0' * 64}"), 404)
    assert is_problem(site.call("GET", "/v1/images/..%2f..%2fetc"), 404)
    (site.filing.folder / "unknown-place/video_t1.jpg").unlink()
    assert is_problem(site.call("GET", f"/v1/images/{digest}"), 404, "removed")


def test_every_door_knows_the_roles(site: Site) -> None:
    document = site.call("GET", "/openapi.json", key="").json
    tried = 0
    for path, methods in document["paths"].items():
        for method, door in methods.items():
            if "security" not in door:
                continue
            where = path.replace("{request}", "1").replace("{", "").replace("}", "")
            allowed = door["description"].removeprefix("For keys of role ").rstrip(".").split(", ")
            body: Any = {} if method == "post" else None
            assert is_problem(site.call(method.upper(), where, body, key=""), 401)
            assert is_problem(site.call(method.upper(), where, body, key="isk_wrong"), 401)
            for role in ("client", "viewer", "operator", "agent"):
                if role not in allowed:
                    tried += 1
                    assert is_problem(site.call(method.upper(), where, body, key=role), 403, role)
    assert tried > 30


def test_the_page_gets_a_session_that_scripts_and_other_sites_cannot_use(site: Site) -> None:
    assert is_problem(site.call("POST", "/v1/session", {"key": "isk_x"}, key=""), 401)
    assert is_problem(site.call("POST", "/v1/session", {"key": site.keys["agent"]}, key=""), 401)
    begun = site.call("POST", "/v1/session", {"key": site.keys["client"]}, key="")
    assert begun.json == {"name": "client", "role": "client", "environment": ""}
    cookie = begun.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "samesite=strict" in cookie.lower()
    assert site.keys["client"] not in cookie
    mine = {"Cookie": cookie.partition(";")[0]}
    assert site.call("GET", "/v1/me", key="", headers=mine).json["name"] == "client"
    own = {**mine, "Origin": f"http://127.0.0.1:{site.port}"}
    assert site.call("POST", "/v1/acquisitions", wish("c1"), "", own).status == 202
    for origin in ("http://evil.example", "null", ""):
        foreign = {**mine, "Origin": origin}
        assert is_problem(site.call("POST", "/v1/acquisitions", wish("c2"), "", foreign), 403, "another site")
    assert is_problem(site.call("POST", "/v1/acquisitions", wish("c2"), "", mine), 403)
    forged = {"Cookie": mine["Cookie"][:-6] + "AAAAAA"}
    assert is_problem(site.call("GET", "/v1/me", key="", headers=forged), 401)
    assert site.call("DELETE", "/v1/session", key="", headers=mine).status == 204


def test_a_session_ends_with_its_key(site: Site) -> None:
    text = site.call("POST", "/v1/keys", {"name": "guest", "role": "viewer"}, "operator").json["key"]
    cookie = site.call("POST", "/v1/session", {"key": text}, "").headers["set-cookie"].partition(";")[0]
    assert site.call("GET", "/v1/me", key="", headers={"Cookie": cookie}).status == 200
    assert site.call("DELETE", "/v1/keys/guest", key="operator").status == 204
    assert is_problem(site.call("GET", "/v1/me", key="", headers={"Cookie": cookie}), 401)
    assert is_problem(site.call("DELETE", "/v1/keys/nobody", key="operator"), 404)
    assert is_problem(site.call("POST", "/v1/keys", {"name": "client", "role": "viewer"}, "operator"), 409)
    assert is_problem(site.call("POST", "/v1/keys", {"name": "x", "role": "agent"}, "operator"), 422)
    listed = site.call("GET", "/v1/keys", key="operator").json
    assert text not in json.dumps(listed)
    assert [one["name"] for one in listed if one["revoked"]] == ["guest"]


def test_the_audit_log_says_who_did_what(site: Site) -> None:
    batch = site.ask("audited", environment="quiet")
    site.call("POST", f"/v1/batches/{batch}/cancel", key="operator")
    acts = site.call("GET", "/v1/audit?most=1000", key="operator").json
    mine = [(one["who"], one["act"]) for one in acts if one["subject"] == batch]
    assert mine == [("client", "ask"), ("operator", "cancel")]
    assert is_problem(site.call("GET", "/v1/audit"), 403)
    assert site.call("GET", f"/v1/audit?after={acts[-1]['number']}", key="operator").json == []


def test_health_metrics_environments_and_pages(site: Site) -> None:
    site.ask("m1", environment="quiet")
    assert site.call("GET", "/health", key="").json == {"status": "ok", "why": ""}
    metrics = site.call("GET", "/metrics", key="")
    assert metrics.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert b'isthmus_acquire_requests{environment="quiet",state="queued"}' in metrics.body
    shown = {one["environment"]: one for one in site.call("GET", "/v1/environments").json}
    assert shown["quiet"]["counts"]["queued"] >= 1
    docs = site.call("GET", "/docs", key="")
    assert b"/v1/acquisitions" in docs.body
    assert b"<script" not in docs.body
    assert site.call("GET", "/docs.css", key="").headers["content-type"].startswith("text/css")
    assert site.call("HEAD", "/health", key="").status == 200
    assert docs.headers["content-security-policy"].startswith("default-src 'self'")
    assert docs.headers["x-content-type-options"] == "nosniff"
    reply = site.call("PUT", "/v1/acquisitions", {})
    assert is_problem(reply, 405)
    assert reply.headers["allow"]
    assert is_problem(site.call("GET", "/nowhere"), 404)


def test_the_description_of_the_doors_is_whole(site: Site) -> None:
    document = site.call("GET", "/openapi.json", key="").json
    assert document["openapi"].startswith("3.1")
    text = json.dumps(document)
    for part in text.split('"$ref": "')[1:]:
        name = part.partition('"')[0].removeprefix("#/components/schemas/")
        assert name in document["components"]["schemas"]
    names = [door["operationId"] for methods in document["paths"].values() for door in methods.values()]
    assert len(set(names)) == len(names)
    state = document["components"]["schemas"]["Shown"]["properties"]["state"]
    assert "queued" in state["enum"]


@settings(max_examples=examples(20), deadline=None)
@given(
    st.binary(max_size=200),
    st.sampled_from(
        ["application/json", "application/x-ndjson", "text/csv", "multipart/form-data; boundary=B", "x"]
    ),
)
def test_any_bytes_are_answered_with_a_batch_or_a_problem(site: Site, body: bytes, content_type: str) -> None:
    reply = site.call("POST", "/v1/acquisitions", body, headers={"Content-Type": content_type})
    assert reply.status == 202 or is_problem(reply, reply.status)
    assert reply.status < 500
