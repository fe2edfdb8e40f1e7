"""What a site knows of acquiring is read from its ledger, and from its server's metrics where that answers."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asked_images import HOSTILE_RECORD, NOW, REASON, asked
from crossed_galleries import HOSTILE_TEXT, photo
from gallery_sites import write
from isthmus.acquire.ports import Which
from isthmus.acquire.states import State
from isthmus.app.views import acquire
from isthmus.app.views.servermetrics import read
from isthmus.core.errors import InputError, UnknownName
from isthmus.core.prometheus import Family, Sample, exposition


@pytest.fixture(scope="module")
def toml(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return asked(tmp_path_factory.mktemp("hub"))


def test_batches_are_told_with_counts_failures_and_how_fast_they_go(toml: Path) -> None:
    going, ended = acquire.batches(toml, NOW)
    assert (ended.label, ended.state, ended.requests) == ("ended", "ended", 4)
    assert (dict(ended.counts), dict(ended.failures)) == ({"done": 3, "failed": 1}, {"gone": 1})
    assert (ended.rate, ended.left_s) == (0.0, None)
    assert (going.label, going.state, going.open) == (f"going {HOSTILE_TEXT}", "running", 3)
    assert going.rate == pytest.approx(0.1), "one in the ten seconds since"
    assert going.left_s == pytest.approx(30)
    assert acquire.batches(toml, NOW, after=going.batch) == [ended]
    assert acquire.batch(toml, NOW, going.batch) == going
    with pytest.raises(UnknownName):
        acquire.batch(toml, NOW, "nothing")


def test_failures_come_with_their_reasons_and_images_with_place_and_time(toml: Path) -> None:
    (failed,) = acquire.requests(toml, Which(states=(State.FAILED, State.EXPIRED)))
    assert failed.failure is not None
    assert (failed.failure.kind, failed.failure.reason) == ("gone", REASON)
    found = acquire.requests(toml, Which(states=(State.DONE,)))
    assert [one.wish.record for one in found] == ["lund-2", HOSTILE_RECORD, "arezzo", "lund"]
    assert found[-1].filed is not None
    assert (found[-1].filed.place, found[-1].filed.latitude) == ("se-lund", 55.7047)
    assert acquire.requests(toml, Which(states=(State.DONE,)), found[1].request, 1) == [found[2]]
    assert acquire.request(toml, failed.request) == failed
    for number in (0, -1, 1 << 70, 4711):
        with pytest.raises(UnknownName):
            acquire.request(toml, number)


def test_an_image_is_found_by_its_digest_alone_and_drawn_small(toml: Path) -> None:
    found = {one.wish.record: one.filed for one in acquire.requests(toml, Which(states=(State.DONE,)))}
    lund, hostile = found["lund"], found[HOSTILE_RECORD]
    assert lund is not None
    assert hostile is not None
    there = acquire.image(toml, lund.digest)
    assert there is not None
    assert there[1].read_bytes() == photo(0)
    drawn = acquire.thumbnail(toml, lund.digest, 32)
    assert drawn is not None
    assert drawn.startswith(b"\xff\xd8")
    assert acquire.thumbnail(toml, hostile.digest, 32) == b"", "it cannot be drawn"
    for wrong in ("0" * 64, "../../etc/passwd", "", "Z" * 64):
        assert acquire.thumbnail(toml, wrong, 32) is None
        assert acquire.image(toml, wrong) is None
    with pytest.raises(InputError, match="edge"):
        acquire.thumbnail(toml, lund.digest, 4)


def test_what_the_server_has_drawn_is_taken_as_it_is(tmp_path: Path) -> None:
    toml = asked(tmp_path)
    digest = next(one.filed.digest for one in acquire.requests(toml, Which(states=(State.DONE,))) if one.filed)
    from isthmus.acquire.filing.thumbnails import place_of

    kept = place_of(tmp_path / "images", digest, 64)
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"drawn before")
    assert acquire.thumbnail(toml, digest, 64) == b"drawn before"


def test_an_image_that_was_removed_is_none(tmp_path: Path) -> None:
    toml = asked(tmp_path)
    filed = acquire.requests(toml, Which(states=(State.DONE,)))[-1].filed
    assert filed is not None
    (tmp_path / "images" / filed.path).unlink()
    assert acquire.image(toml, filed.digest) is None
    assert acquire.thumbnail(toml, filed.digest, 64) is None


def test_what_ended_is_told_after_a_number_and_from_now_on(toml: Path) -> None:
    nothing, head = acquire.events(toml, None)
    assert nothing == []
    found, last = acquire.events(toml, 0)
    assert [one.kind for one in found].count("done") == 4
    assert last == head
    assert acquire.events(toml, last) == ([], last)
    assert [one.number for one in acquire.events(toml, 0, 2)[0]] == [one.number for one in found[:2]]


def test_environments_tell_what_waits_also_where_the_server_does_not_run(toml: Path) -> None:
    told = acquire.environments(toml, NOW)
    assert not told.server
    night, public = told.environments
    assert (night.environment, dict(night.counts)) == ("night", {"queued": 1})
    assert dict(public.counts) == {"queued": 1, "waiting": 1}
    assert public.left_alone == 1, "the breaker of its storage server is open"
    assert public.oldest_s == pytest.approx(60)
    assert (public.agents, public.images) == ((), None)


class _Metrics(http.server.BaseHTTPRequestHandler):
    text = ""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.text.encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[int]:
    made = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Metrics)
    thread = threading.Thread(target=made.serve_forever, daemon=True)
    thread.start()
    yield made.server_address[1]
    made.shutdown()
    made.server_close()
    thread.join()


def test_agents_and_latency_come_from_the_metrics_of_a_server_that_runs(tmp_path: Path, server: int) -> None:
    toml = asked(tmp_path)
    port = next(line for line in toml.read_text().splitlines() if line.startswith("port"))
    toml.write_text(toml.read_text().replace(port, f"port = {server}"))
    agent = Sample({"environment": "public", "agent": "a"}, 3)
    median = Sample({"environment": "public", "quantile": "0.5"}, 0.25)
    families = [
        Family("isthmus_acquire_agent_silent_seconds", "gauge", "Silent.", [agent]),
        Family("isthmus_acquire_request_seconds", "summary", "Latency.", [median]),
        Family("isthmus_acquire_images_total", "counter", "Images.", [Sample({"environment": "public"}, 7)]),
    ]
    _Metrics.text = exposition(families)
    told = acquire.environments(toml, NOW)
    assert told.server
    (public,) = (one for one in told.environments if one.environment == "public")
    assert public.agents == (acquire.AgentShown("a", 3.0),)
    assert (dict(public.request_s), public.images) == ({"0.5": 0.25}, 7)


@given(st.text())
def test_every_name_of_an_agent_is_read_as_it_was_written(agent: str) -> None:
    sample = Sample({"environment": "e", "agent": agent}, 1.5)
    text = exposition([Family("isthmus_acquire_agent_silent_seconds", "gauge", "a", [sample])])
    assert read(text).agents == {"e": {agent: 1.5}}


@given(st.text())
def test_metrics_of_another_program_are_read_as_nothing_and_never_raise(text: str) -> None:
    assert read(text).agents == {}


def test_a_site_without_a_server_or_without_a_request_has_nothing(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    for name, text in (("none", ""), ("fresh", "[acquire]\nport = 0\n")):
        toml = write(tmp_path / name, f'[site]\nname = "{name}"\n{text}') / "isthmus.toml"
        assert acquire.offers(toml) is bool(text)
        assert acquire.batches(toml, now) == []
        assert acquire.requests(toml, Which()) == []
        assert acquire.events(toml, None) == ([], 0)
        assert acquire.environments(toml, now - timedelta(1)).environments == ()
        assert acquire.image(toml, "0" * 64) is None
        with pytest.raises(UnknownName):
            acquire.batch(toml, now, "x")
        assert [file.name for file in (tmp_path / name).iterdir()] == ["isthmus.toml"]
