"""The client against a real server: operations to their end, lists, files, events, and every kind of no."""

from __future__ import annotations

import asyncio
import http.server
import itertools
import pickle
import socket
import threading
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub_serving import Served, serving
from isthmus.app.people.person import Role
from isthmus.client import ApiError, AsyncClient, Client, Event, OperationFailed, Progress
from isthmus.client.calls import Blocks, inside, place
from isthmus.core.errors import InputError


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("served")) as served:
        yield served


@pytest.fixture
def client(served: Served) -> Iterator[Client]:
    with Client(served.url, served.keys[Role.ADMIN]) as client:
        yield client


def test_an_operation_is_run_to_its_end_with_progress_and_files(client: Client, tmp_path: Path) -> None:
    told: list[Progress] = []
    work = client.run("go", progress=told.append)
    assert (work.state, work.by, work.files) == ("done", "key:the-admin", ("more/a.txt", "result.txt"))
    assert told[-1] == Progress("going", 3, 3, "steps")
    assert client.file(work.id, "more/a.txt") == b"a"
    assert client.printed(work.id) == "went\n"
    client.save(work.id, "result.txt", tmp_path / "here.txt")
    assert (tmp_path / "here.txt").read_text() == "the result"


def test_how_far_a_work_came_is_told_though_it_ended_before_anybody_listened(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = Client.events

    def heard_late(self: Client, id: str) -> Iterator[Event]:
        assert [*events(self, id)][-1].what == "ended"
        return iter(())

    monkeypatch.setattr(Client, "events", heard_late)
    told: list[Progress] = []
    client.run("go", progress=told.append)
    assert told == [Progress("going", 3, 3, "steps")]


def test_arguments_and_files_go_along(client: Client, tmp_path: Path) -> None:
    picture = tmp_path / "b.jpg"
    picture.write_bytes(b"two")
    files: dict[str, Any] = {"photo": ("a.jpg", b"one"), "folder": [picture, ("d/c.jpg", b"")]}
    work = client.run(
        "tell", files=files, name="a b", count=3, set=["x=1", "y=2"], quick=True, day=date(2026, 5, 1)
    )
    assert work.arguments == {
        "name": "a b", "count": 3, "set": ["x=1", "y=2"], "quick": True, "day": "2026-05-01",
        "photo": "a.jpg", "folder": ["b.jpg", "d/c.jpg"],
    }  # fmt: skip
    assert client.run("tell", name="a", form_="csv").arguments == {"name": "a", "form": "csv"}


def test_what_did_not_end_well_is_raised_unless_it_is_not_checked(client: Client) -> None:
    with pytest.raises(OperationFailed, match="fail failed: nothing is there; make it first") as caught:
        client.run("fail", code=2)
    assert caught.value.work.exit_code == 2
    assert client.run("fail", check=False).state == "failed"
    assert client.run("fail", code=3).exit_code == 3


def test_a_work_that_takes_too_long_is_cancelled(client: Client) -> None:
    with pytest.raises(OperationFailed, match="stay cancelled"):
        client.run("stay", timeout_s=0.0)


def test_a_work_is_cancelled_by_its_id(client: Client) -> None:
    work = client.start("stay")
    assert work.state in ("waiting", "running")
    client.cancel(work.id)
    assert [one.work.state for one in client.events(work.id)][-1] == "cancelled"


def test_wrong_arguments_are_told_line_by_line(client: Client) -> None:
    with pytest.raises(ApiError, match="name is needed") as caught:
        client.run("tell", count=11)
    assert caught.value.status == 422
    assert caught.value.mistakes == ("name is needed: a name", "count is 11; it is at least 1 and at most 10")
    assert caught.value.again_s is None
    again = pickle.loads(pickle.dumps(caught.value))  # noqa: S301 - our own
    assert (again.status, again.mistakes) == (422, caught.value.mistakes)


def test_what_is_not_there_and_what_is_not_allowed_is_told(served: Served, client: Client) -> None:
    for call, status in (
        (lambda: client.work("nothing"), 404),
        (lambda: client.run("nothing"), 404),
        (lambda: client.file(client.run("go").id, "nothing"), 404),
        (lambda: client.get("/v1/nothing"), 404),
        (lambda: client.get("/v1/works", nothing=1), 422),
    ):
        with pytest.raises(ApiError) as caught:
            call()
        assert caught.value.status == status
    with Client(served.url, served.keys[Role.VIEWER]) as viewer, pytest.raises(ApiError) as caught:
        viewer.run("go")
    assert caught.value.status == 403
    with Client(served.url, "isk_wrong") as stranger, pytest.raises(ApiError) as caught:
        stranger.get("/v1/works")
    assert (caught.value.status, caught.value.title) == (401, "Who are you?")


def test_lists_are_asked_for_page_by_page(client: Client) -> None:
    names = [one["name"] for one in client.pages("/v1/operations", limit=3)]
    assert names == sorted(names) == [one.name for one in client.operations()]
    (tell,) = [one for one in client.operations() if one.name == "tell"]
    assert (tell.path, tell.role) == ("/v1/operations/tell", "viewer")
    assert [one.name for one in tell.parameters if one.needed] == ["name"]
    ids = [client.run("go").id for _ in range(3)]
    assert [one["id"] for one in itertools.islice(client.pages("/v1/works", limit=1), 3)] == ids[::-1]
    assert next(client.works()).id == ids[-1]


def test_the_events_of_all_works_go_on_after_one(served: Served, client: Client) -> None:
    begin = f"{served.runner.happenings.start}-0"
    work = client.run("go", timeout_s=60.0)
    seen: list[Event] = []
    for event in client.events(after=begin):
        if event.work.id == work.id:
            seen.append(event)
            if event.what == "ended":
                break
    assert [one.what for one in seen][:2] == ["state", "state"]
    assert seen[-1].work == work
    assert next(client.events(after=seen[0].id)) == seen[1]
    assert "".join(one.said for one in seen) == "went\n"


def test_one_who_comes_back_after_a_restart_is_told_how_all_stands(client: Client) -> None:
    work = client.run("go")
    for event in client.events(after="abcdef-17"):
        assert event.id == ""
        if event.work.id == work.id:
            break
    assert (event.what, event.work) == ("ended", work)


def test_a_viewer_sees_that_an_operation_ran_but_not_what_it_said(served: Served, client: Client) -> None:
    work = client.run("secret go")
    with Client(served.url, served.keys[Role.OPERATOR]) as other:
        seen = other.work(work.id)
        assert (seen.state, seen.said, seen.files, seen.command) == ("done", "", (), "isthmus secret go")
        with pytest.raises(ApiError) as caught:
            other.file(work.id, "result.txt")
        assert caught.value.status == 403
        (ended,) = other.events(work.id)
        assert (ended.work.said, ended.said) == ("", "")
    assert client.work(work.id).said == "went"


def test_the_client_for_asyncio_does_the_same(served: Served, tmp_path: Path) -> None:
    async def all_of_it() -> None:
        async with AsyncClient(served.url, served.keys[Role.ADMIN]) as client:
            told: list[Progress] = []
            work = await client.run("go", progress=told.append)
            assert told[-1].done == 3
            assert await client.file(work.id, "result.txt") == b"the result"
            assert await client.printed(work.id) == "went\n"
            await client.save(work.id, "result.txt", tmp_path / "a.txt")
            assert (tmp_path / "a.txt").read_text() == "the result"
            assert (await anext(client.operations())).name == "fail"
            with pytest.raises(OperationFailed):
                await client.run("stay", timeout_s=0.0)
            with pytest.raises(ApiError):
                await client.run("tell")
            works = await asyncio.gather(*(client.run("go") for _ in range(3)))
            assert {one.state for one in works} == {"done"}
            staying = await client.start("stay")
            await client.cancel(staying.id)
            assert [one.work.state async for one in client.events(staying.id)][-1] == "cancelled"
            assert (await anext(client.works())).id == staying.id
            assert len(await client.get("/v1/works", limit=2)) == 2

    asyncio.run(all_of_it())


@pytest.mark.parametrize("place", ["key_file", "ISTHMUS_KEY", "ISTHMUS_KEY_FILE"])
def test_the_key_comes_from_a_file_or_the_environment(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    file = tmp_path / "key"
    file.write_text(f"{served.keys[Role.VIEWER]}\n")
    if place.isupper():
        monkeypatch.setenv(place, str(file) if place.endswith("FILE") else file.read_text())
    with Client(served.url, key_file=None if place.isupper() else file) as client:
        assert client.get("/v1/session")["role"] == "viewer"


def test_without_a_key_nothing_is_told(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ISTHMUS_KEY", "ISTHMUS_KEY_FILE"):
        monkeypatch.delenv(name, raising=False)
    with Client(served.url) as client, pytest.raises(ApiError) as caught:
        client.get("/v1/session")
    assert caught.value.status == 401


class _Elsewhere(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(302)
        self.send_header("location", "http://127.0.0.2:9/v1/works")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def test_a_redirect_is_never_followed() -> None:
    server = http.server.HTTPServer(("127.0.0.1", 0), _Elsewhere)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        with (
            Client(f"http://127.0.0.1:{server.server_port}", "isk_a") as client,
            pytest.raises(ApiError) as caught,
        ):
            client.get("/v1/works")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert caught.value.status == 302
    assert "where its key is not sent" in caught.value.detail


def test_where_nobody_answers_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as bound:
        port = bound.getsockname()[1]
    with (
        Client(f"http://127.0.0.1:{port}", "isk_a") as client,
        pytest.raises(ApiError, match="no answer") as caught,
    ):
        client.get("/v1/works")
    assert caught.value.status == 0
    assert caught.value.again_s is not None


@pytest.mark.parametrize(
    "url", ["isthmus.example", "ftp://a", "http://isthmus.example", "https://a:b@c", "https://a/b", "https://a?b"]
)
def test_an_address_that_would_not_do_is_refused(url: str) -> None:
    with pytest.raises(InputError):
        Client(url, "isk_a")


def test_the_key_is_not_shown() -> None:
    from isthmus.client.calls import Site

    assert "isk_secret" not in repr(Site("https://a", "isk_secret"))


@given(st.text())
def test_no_name_leads_out_of_its_place(name: str) -> None:
    for template in ("/v1/works/{work}", "/v1/works/w/files/{file}"):
        try:
            path = inside(template, **{"work" if "{work}" in template else "file": name})
        except InputError:
            continue
        except UnicodeEncodeError:
            continue
        assert path.startswith(template.partition("{")[0])
        assert not {".", ".."} & set(path.split("/"))
        assert "?" not in path
        assert "#" not in path


@given(st.text())
def test_only_paths_of_the_site_are_asked_for(path: str) -> None:
    try:
        assert place(path) == path
    except InputError:
        return
    assert path.startswith("/")
    assert not path.startswith("//")


@given(st.lists(st.sampled_from(["id: a-1", "data: x", ": beat", "retry: 5", "event: state", "data", "id", "x"])))
def test_lines_of_a_stream_without_an_end_make_no_event(lines: list[str]) -> None:
    blocks = Blocks()
    assert [event for line in lines for event in blocks.take(line)] == []
