from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from acquire_serving import IMAGE, Site, serving
from isthmus.acquire.delivery.signing import SharedSecret
from isthmus.acquire.failure import Failure, Kind


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with serving(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture(autouse=True)
def drained(site: Site) -> Iterator[None]:
    yield
    for batch in site.call("GET", "/v1/batches?most=1000", key="operator").json:
        site.call("POST", f"/v1/batches/{batch['batch']}/cancel", key="operator")


def test_what_is_asked_is_claimed_delivered_and_filed(site: Site) -> None:
    batch = site.ask("r1", "r2")
    claimed = site.claim()
    assert {task["record"] for task in claimed["tasks"]} == {"r1", "r2"}
    reply = site.deliver(claimed, [IMAGE, IMAGE + b"2"])
    assert reply.status == 200
    assert reply.json == {"verdicts": ["filed", "filed"]}
    assert site.states(batch) == {"done": 2}
    shown = site.call("GET", f"/v1/requests?batch={batch}").json
    digest = shown[0]["filed"]["digest"]
    image = site.call("GET", f"/v1/images/{digest}")
    assert image.body == IMAGE
    assert image.headers["content-type"] == "image/jpeg"
    assert "immutable" in image.headers["cache-control"]
    again = site.call("GET", f"/v1/images/{digest}", headers={"If-None-Match": image.headers["etag"]})
    assert (again.status, again.body) == (304, b"")


def test_a_repeated_delivery_counts_once(site: Site) -> None:
    batch = site.ask("r1")
    claimed = site.claim()
    assert site.deliver(claimed, [IMAGE]).json == {"verdicts": ["filed"]}
    for _ in range(3):
        assert site.deliver(claimed, [IMAGE]).json == {"verdicts": ["again"]}
    events = [one for one in site.ledger.events(0) if one.batch == batch]
    assert [one.kind for one in events] == ["done"]


def test_a_repeated_failure_counts_one_attempt(site: Site) -> None:
    batch = site.ask("r1")
    claimed = site.claim()
    failure = Failure(Kind.TIMEOUT, "too slow")
    assert site.deliver(claimed, [failure]).json == {"verdicts": ["noted"]}
    assert site.deliver(claimed, [failure]).json == {"verdicts": ["again"]}
    assert site.states(batch) == {"waiting": 1}
    assert site.call("GET", f"/v1/requests?batch={batch}").json[0]["attempts"] == 1


def test_a_failure_that_cannot_pass_ends_the_request_with_its_reason(site: Site) -> None:
    batch = site.ask("r1")
    assert site.deliver(site.claim(), [Failure(Kind.GONE, "404")]).json == {"verdicts": ["noted"]}
    (line,) = site.call("GET", f"/v1/requests?batch={batch}&state=failed&kind=gone").json
    assert line["failure"] == {"kind": "gone", "reason": "404", "after_s": None}
    assert site.call("POST", f"/v1/batches/{batch}/retry").json == {"changed": 1}
    assert site.states(batch) == {"queued": 1}


def test_what_is_no_image_is_unfit_and_a_full_disk_asks_to_come_later(site: Site) -> None:
    batch = site.ask("r1", "r2", "r3")
    claimed = site.claim()
    assert site.deliver(claimed, [b"not an image", b"disk", IMAGE]).json == {
        "verdicts": ["unfit", "later", "filed"]
    }
    assert site.states(batch) == {"failed": 1, "leased": 1, "done": 1}


def test_a_lease_that_ran_out_still_brings_its_image_while_nobody_else_holds_it(site: Site) -> None:
    batch = site.ask("r1")
    claimed = site.claim()
    site.clock.ahead += timedelta(seconds=60)
    _until(lambda: site.states(batch) == {"queued": 1})
    assert site.deliver(claimed, [IMAGE]).json == {"verdicts": ["filed"]}
    assert site.states(batch) == {"done": 1}


def test_an_older_lease_is_stale_once_another_agent_holds_the_request(site: Site) -> None:
    batch = site.ask("r1")
    old = site.claim()
    site.clock.ahead += timedelta(seconds=60)
    new = site.claim(wait_s=10, agent="a2")
    assert len(new["tasks"]) == 1
    assert site.deliver(old, [IMAGE]).json == {"verdicts": ["stale"]}
    assert site.deliver(new, [IMAGE]).json == {"verdicts": ["filed"]}
    assert site.states(batch) == {"done": 1}


def test_a_cancelled_request_drops_its_image(site: Site) -> None:
    batch = site.ask("r1")
    claimed = site.claim()
    assert site.call("POST", f"/v1/batches/{batch}/cancel").json == {"changed": 1}
    assert site.deliver(claimed, [IMAGE]).json == {"verdicts": ["over"]}
    calls = len(site.filing.calls)
    assert site.deliver(claimed, [IMAGE]).json == {"verdicts": ["over"]}
    assert len(site.filing.calls) == calls


def test_a_request_cancelled_while_its_image_is_filed_leaves_no_file(site: Site) -> None:
    batch = site.ask("r1")
    claimed = site.claim()
    site.filing.gate = threading.Event()
    before, replies = len(site.filing.calls), []
    delivering = threading.Thread(target=lambda: replies.append(site.deliver(claimed, [IMAGE + b"late"])))
    delivering.start()
    _until(lambda: len(site.filing.calls) > before)
    site.call("POST", f"/v1/batches/{batch}/cancel")
    site.filing.gate.set()
    delivering.join()
    assert replies[0].json == {"verdicts": ["over"]}
    assert claimed["tasks"][0]["request"] in site.filing.removed


def test_a_claim_that_waits_is_woken_by_a_request(site: Site) -> None:
    found: list[object] = []
    waiting = threading.Thread(target=lambda: found.append(site.claim(wait_s=20)))
    waiting.start()
    batch = site.ask("r1")
    waiting.join(20)
    assert [task["record"] for task in found[0]["tasks"]] == ["r1"]  # type: ignore[index]
    assert site.states(batch) == {"leased": 1}


def test_a_claim_whose_agent_has_gone_leases_nothing(site: Site) -> None:
    import http.client
    import json

    connection = http.client.HTTPConnection("127.0.0.1", site.port)
    body = json.dumps({"agent": "gone", "most": 5, "wait_s": 20})
    headers = {"Authorization": f"Bearer {site.keys['agent']}", "Content-Type": "application/json"}
    connection.request("POST", "/v1/agent/claim", body, headers)
    _until(lambda: ("video", "gone") in site.service.counts.heard)
    connection.close()
    batch = site.ask("r1")
    assert len(site.claim(wait_s=10)["tasks"]) == 1
    assert site.states(batch) == {"leased": 1}


def test_beats_prolong_and_tell_what_is_lost_and_releases_queue_again(site: Site) -> None:
    batch = site.ask("r1", "r2")
    claimed = site.claim()
    held = [{"request": task["request"], "fence": task["fence"]} for task in claimed["tasks"]]
    assert site.call("POST", "/v1/agent/beat", {"agent": "a1", "held": held}, "agent").json == []
    stranger = {"request": held[0]["request"], "fence": held[0]["fence"] + 7}
    assert site.call("POST", "/v1/agent/beat", {"agent": "a1", "held": [stranger]}, "agent").json == [stranger]
    assert site.call("POST", "/v1/agent/beat", {"agent": "a1", "held": held}, "intranet").json == held
    assert site.call("POST", "/v1/agent/release", {"agent": "a1", "held": held}, "agent").json == {"released": 2}
    assert site.states(batch) == {"queued": 2}


def test_an_agent_sees_only_its_own_environment(site: Site) -> None:
    site.ask("r1")
    assert site.claim(key="intranet")["tasks"] == []
    claimed = site.claim()
    stranger = {**site.claim(key="intranet"), "tasks": claimed["tasks"]}
    assert stranger["callback"] != claimed["callback"]
    assert site.deliver(stranger, [IMAGE]).json == {"verdicts": ["stale"]}


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"webhook-signature": "v1,AAAA"}, "not signed"),
        ({"webhook-signature": ""}, "not signed"),
        ({"webhook-timestamp": "1000000000"}, "minutes old"),
        ({"webhook-timestamp": "99999999999"}, "minutes early"),
        ({"webhook-timestamp": "x"}, "not right"),
        ({"webhook-id": "another"}, "not signed"),
        ({"isthmus-digest": "0" * 64}, "not signed"),
        ({"isthmus-digest": ""}, "missing"),
    ],
)
def test_a_delivery_that_is_not_signed_right_is_refused_before_its_body(
    site: Site, change: dict[str, str], why: str
) -> None:
    batch = site.ask("r1")
    reply = site.deliver(site.claim(), [IMAGE], change=change)
    assert reply.status == 403
    assert why in reply.json["detail"]
    assert reply.headers["content-type"] == "application/problem+json"
    assert site.states(batch) == {"leased": 1}


def test_a_signature_by_another_secret_a_wrong_callback_and_a_wrong_key_are_refused(site: Site) -> None:
    site.ask("r1")
    claimed = site.claim()
    assert site.deliver(claimed, [IMAGE], signer=SharedSecret.create()).status == 403
    assert site.deliver({**claimed, "callback": claimed["callback"][:-2] + "xx"}, [IMAGE]).status == 403
    assert site.deliver(claimed, [IMAGE], key="intranet").status == 403
    assert site.deliver(claimed, [IMAGE], key="client").status == 403
    assert site.deliver(claimed, [IMAGE], key="isk_nobody").status == 401
    assert site.deliver(claimed, [IMAGE], key="agent").json == {"verdicts": ["filed"]}


def test_a_body_that_is_not_what_was_signed_is_not_parsed(site: Site) -> None:
    batch = site.ask("r1")
    claimed = site.claim()
    reply = site.deliver(claimed, [IMAGE], body=b"\x00\x00\x00\x02{}" + IMAGE)
    assert reply.status == 400
    assert site.states(batch) == {"leased": 1}
    assert any(one["event"] == "delivery damaged" for one in site.log)


def test_a_large_image_goes_through_a_file_that_is_gone_afterwards(site: Site) -> None:
    batch = site.ask("r1")
    large = IMAGE + b"x" * (9 << 20)
    assert site.deliver(site.claim(), [large]).json == {"verdicts": ["filed"]}
    assert isinstance(site.filing.calls[-1][0].content, Path)
    assert list(site.service.incoming.iterdir()) == []
    digest = site.call("GET", f"/v1/requests?batch={batch}").json[0]["filed"]["digest"]
    assert site.call("GET", f"/v1/images/{digest}").body == large
    part = site.call("GET", f"/v1/images/{digest}", headers={"Range": "bytes=0-3"})
    assert (part.status, part.body) == (206, large[:4])


def test_a_revoked_agent_is_let_in_no_more(site: Site) -> None:
    text = site.call(
        "POST", "/v1/keys", {"name": "second", "role": "agent", "environment": "video"}, "operator"
    ).json["key"]
    assert site.call("POST", "/v1/agent/claim", {"agent": "x", "most": 1}, text).status == 200
    assert site.call("DELETE", "/v1/keys/second", key="operator").status == 204
    assert site.call("POST", "/v1/agent/claim", {"agent": "x", "most": 1}, text).status == 401


def test_more_deliveries_than_there_is_room_for_are_asked_to_come_later(site: Site) -> None:
    site.ask("r1")
    claimed = site.claim()
    site.service.deliveries.at_work += 1000
    try:
        reply = site.deliver(claimed, [IMAGE])
    finally:
        site.service.deliveries.at_work -= 1000
    assert reply.status == 503
    assert reply.headers["retry-after"]
    assert site.deliver(claimed, [IMAGE]).json == {"verdicts": ["filed"]}


def test_the_trace_of_a_client_goes_to_the_agent_and_into_the_log(site: Site) -> None:
    wish = {"address": "http://store/1.jpg", "environment": "video", "record": "traced"}
    reply = site.call("POST", "/v1/acquisitions", wish, headers={"X-Request-ID": "my-trace-7"})
    assert reply.headers["x-request-id"] == "my-trace-7"
    claimed = site.claim()
    assert [task["trace"] for task in claimed["tasks"]] == ["my-trace-7"]
    site.deliver(claimed, [IMAGE])
    delivered = [one for one in site.log if one["event"] == "delivery"][-1]
    assert delivered["items"] == [
        {"request": claimed["tasks"][0]["request"], "trace": "my-trace-7", "verdict": "filed"}
    ]
    assert all(claimed["callback"].rpartition("/")[2] not in str(one) for one in site.log)


def _until(true: object) -> None:
    assert callable(true)
    ticks = threading.Event()
    for _ in range(2000):
        if true():
            return
        ticks.wait(0.01)
    raise AssertionError("it never came true")
