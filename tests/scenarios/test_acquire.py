"""Two network environments, each with its storage server and agents, one interface server, and a client.

All of them are processes of their own; the test plays the operator and the client.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from acquire_sites import AgentSite, Hub, Process, Storage, delivered_once, running, wish
from gallery_making import jpeg
from gallery_sites import isthmus, until
from samples import SAMPLES, needs_samples

pytestmark = pytest.mark.xdist_group("acquire story")
REWRITE = """[[agent.rewrite]]
prefix = "https://{label}.example.org/"
to = "{url}/"
"""


class World:
    """A server, and of each environment a storage server and an agent."""

    def __init__(self, folder: Path) -> None:
        self.hub = Hub(folder / "hub", "most_attempts = 2")
        self.stores = {label: Storage(folder / f"store-{label}" / "files") for label in ("video", "intranet")}
        self.agents = {
            label: self.hub.environment(label, store.allow + REWRITE.format(label=label, url=store.url))
            for label, store in self.stores.items()
        }

    def processes(self) -> list[Process]:
        return [*self.stores.values(), self.hub, *self.agents.values()]

    def log(self, label: str) -> str:
        """What an environment's storage server was asked for."""
        return self.stores[label].log.read_text()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = World(tmp_path_factory.mktemp("world"))
    for number, store in enumerate(made.stores.values()):
        for picture in range(8):
            (store.folder / f"{picture}.jpg").write_bytes(jpeg(100 * number + picture))
    with running(*made.processes()):
        yield made


@needs_samples
def test_photos_of_both_environments_are_filed_by_the_place_and_time_that_they_tell(world: World) -> None:
    wishes = []
    for label, folder in (("video", "lund-walk"), ("intranet", "exif-gps")):
        for photo in sorted((SAMPLES / "photos" / folder).glob("*.jpg"))[:12]:
            shutil.copyfile(photo, world.stores[label].folder / photo.name)
            address = f"https://{label}.example.org/{photo.name}"
            wishes.append({"address": address, "environment": label, "record": f"photo/{label}/{photo.name}"})
    batch = world.hub.ask(wishes)
    assert world.hub.ended(batch) == {"done": 24}
    delivered_once(world.hub, batch, 24)
    lines = world.hub.requests(batch)
    client = world.hub.client()
    for line in lines:
        label, filed = line["wish"]["environment"], line["filed"]
        source = world.stores[label].folder / line["wish"]["record"].rpartition("/")[2]
        assert (world.hub.images / filed["path"]).read_bytes() == source.read_bytes()
        assert client.image(filed["digest"]) == source.read_bytes()
        place, day, hour, name = filed["path"].split("/")
        assert place == filed["place"]
        assert name.startswith(f"{label}_{day}T{hour}")
        assert ".." not in filed["path"]
    places = {(line["wish"]["environment"], line["filed"]["place"]) for line in lines}
    assert ("video", "se-lund") in places
    assert ("intranet", "it-arezzo") in places
    assert "photo/" not in world.log("intranet"), "records are no part of what storage servers are asked"
    assert "/01.jpg" not in world.log("intranet"), "an agent gets what lies in its own environment alone"


def test_what_no_rule_allows_is_refused_and_never_asked_for(world: World) -> None:
    other = world.stores["intranet"]
    forbidden = [f"{other.url}/0.jpg", "http://127.0.0.1:22/", "http://169.254.169.254/", "file:///etc/passwd"]
    forbidden += [f"http://[::ffff:127.0.0.1]:{other.port}/0.jpg", f"http://2130706433:{other.port}/0.jpg"]
    before = world.log("intranet").count("/0.jpg")
    batch = world.hub.ask(
        [{"address": one, "environment": "video", "record": f"f{n}"} for n, one in enumerate(forbidden)]
    )
    assert world.hub.ended(batch) == {"failed": len(forbidden)}
    for line in world.hub.requests(batch):
        assert line["failure"]["kind"] in ("forbidden", "bad-address"), line["failure"]
        assert line["attempts"] == 1, "it is not tried again by itself"
    assert world.log("intranet").count("/0.jpg") == before


def test_what_failed_while_a_storage_server_was_down_is_tried_again_on_demand_and_nothing_else(
    world: World,
) -> None:
    video, intranet = world.stores["video"], world.stores["intranet"]
    intranet.kill()
    wishes = [wish(video, f"{n}.jpg", "video", f"down-v{n}") for n in range(4)]
    wishes += [wish(intranet, f"{n}.jpg", "intranet", f"down-i{n}") for n in range(4)]
    batch = world.hub.ask(wishes)
    assert world.hub.ended(batch) == {"done": 4, "failed": 4}
    failed = world.hub.requests(batch, state="failed")
    assert {(line["failure"]["kind"], line["attempts"]) for line in failed} == {("unreachable", 2)}
    asked_of_video = world.log("video").count("GET")
    intranet.start()
    assert world.hub.client("operator").steer(batch, "retry") == 4
    assert world.hub.ended(batch) == {"done": 8}
    assert world.log("video").count("GET") == asked_of_video, "what had come was not asked for again"
    ends = Counter(told.facts["request"] for told in world.hub.events(batch, 12))
    assert sorted(ends.values()) == [1] * 4 + [2] * 4, "each failure and each image was told once"


def test_a_credential_is_changed_while_images_come_and_the_old_one_opens_nothing_afterwards(world: World) -> None:
    hub, old = world.hub, world.agents["video"]
    new = AgentSite(old.folder.with_name("agent-video-new"), "video", world.stores["video"].allow)
    out = new.folder / "credential.json"
    isthmus(
        hub.folder, "acquire", "environment", "add", "video", "--signature", "ed25519", "--name", "new",
        "--out", str(out),
    )  # fmt: skip
    store = world.stores["video"]
    with running(new):
        batch = hub.ask([wish(store, f"{n % 8}.jpg", "video", f"both-{n}") for n in range(40)])
        assert hub.ended(batch) == {"done": 40}, "both are believed"
        assert old.end() == 0
        isthmus(hub.folder, "acquire", "environment", "retire", "video")
        isthmus(hub.folder, "acquire", "keys", "revoke", "agent-video")
        batch = hub.ask([wish(store, f"{n % 8}.jpg", "video", f"new-{n}") for n in range(8)])
        assert hub.ended(batch) == {"done": 8}
        until(lambda: any(one["event"] == "delivered" for one in new.told()), "the new agent says so")
        old.start()
        assert old.process is not None
        until(lambda: old.process is not None and old.process.poll() == 6, "the old credential is refused")
        old.kill()
        world.agents["video"] = new
        assert new.end() == 0


def test_logs_carry_the_traces_of_requests_from_end_to_end_and_no_secret(world: World) -> None:
    batch = world.hub.ask([wish(world.stores["intranet"], "3.jpg", "intranet", "traced", thumbnails=[64])])
    assert world.hub.ended(batch) == {"done": 1}
    (line,) = world.hub.requests(batch)
    trace = line["trace"]
    agent = world.agents["intranet"]
    for site, events in ((world.hub, {"accepted", "leased", "delivery"}), (agent, {"delivered"})):
        until(
            lambda site=site, events=events: (
                events <= {one["event"] for one in site.told() if trace in json.dumps(one)}
            ),
            f"the logs tell of {events}",
        )
    credential = json.loads((agent.folder / "credential.json").read_text())
    logs = world.hub.log.read_text() + agent.log.read_text()
    for secret in (credential["key"], credential["signing"], world.hub.key("client")):
        assert secret not in logs
