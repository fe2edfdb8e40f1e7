"""Acquiring's demonstration: an interface server, two agents and two storage servers as processes, in one folder.

Each agent has its own folder, TOML and credential, as if it stood in a network of its own. This process is the
operator, who types command lines, and the client, who asks and watches.
"""

from __future__ import annotations

import contextlib
import json
import queue
import shutil
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from isthmus.acquire.client import Client, Told
from isthmus.app import stage
from isthmus.app.acquiring.pictures import gather
from isthmus.app.acquiring.storehouse import Storehouse, free_port
from isthmus.app.chapters import Chapter, Happened, find_samples
from isthmus.core.errors import InputError, IsthmusError, RunFailed

_ENVIRONMENTS = ("video", "intranet")
_DOWN, _KILLED_AFTER, _REPEATS = 4, 8, 3
_FORBIDDEN = "http://169.254.169.254/latest/meta-data"
_QUERY = (
    "SELECT place_name, count(*) AS images FROM acquire.images GROUP BY place_name ORDER BY images DESC LIMIT 3"
)
_HUB = """[site]
name = "hub"
[acquire]
port = {port}
[acquire.server]
lease_s = 5
most_attempts = 2
{warehouse}"""
_AGENT = """[site]
name = "{name}"
[agent]
credential = "credential.json"
name = "{name}-1"
[[agent.allow]]                  # nothing but its own storage server
schemes = ["http"]
hosts = ["127.0.0.1"]
ports = [{port}]
cidr = ["127.0.0.0/8"]
[[agent.rewrite]]                # clients name it as it is named elsewhere
prefix = "https://{name}.example.org/"
to = "http://127.0.0.1:{port}/"
[[agent.storage]]
hosts = ["127.0.0.1"]
rate = 20
burst = 4
"""


class Watcher:
    """Watches a client's batch on a thread of its own."""

    def __init__(self, client: Client, batch: str) -> None:
        self._told: queue.SimpleQueue[Told] = queue.SimpleQueue()
        self._over = threading.Event()
        threading.Thread(target=self._watch, args=(client, batch), daemon=True).start()

    def _watch(self, client: Client, batch: str) -> None:
        with contextlib.suppress(IsthmusError):  # whoever waits for an event learns that none came
            for told in client.events(batch, waiting=self._wait):
                self._told.put(told)
                if self._over.is_set():
                    return

    def _wait(self, seconds: float) -> None:
        if self._over.wait(seconds):
            raise InputError("nobody watches any more")

    def next(self, seconds: float) -> Told | None:
        """Return the next event, waiting for it so long."""
        with contextlib.suppress(queue.Empty):
            return self._told.get(timeout=seconds)
        return None

    def end(self) -> None:
        """Watch no more."""
        self._over.set()


class Story(stage.Troupe):
    """The sites and storage servers in a folder; ends all that it started."""

    def __init__(self, folder: Path, shared: Path | None = None) -> None:
        super().__init__(folder)
        self.shared = shared
        self.hub = folder / "hub"
        self.stores = {name: Storehouse(folder / f"storage-{name}") for name in _ENVIRONMENTS}
        self.url = ""

    def make(self) -> None:
        """Set up all sites: TOMLs, credentials carried to the agents, an operator's key."""
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        root = f'[warehouse]\nroot = "{self.shared.as_posix()}"\n' if self.shared else ""
        self._write(self.hub, _HUB.format(port=port, warehouse=root))
        for name, store in self.stores.items():
            store.start()
            self._write(self.folder / name, _AGENT.format(name=name, port=store.port))
            credential = self.folder / name / "credential.json"
            stage.tell(self.hub, "acquire", "environment", "add", name, "--out", str(credential))
        key = self.hub / "operator.key"
        stage.tell(self.hub, "acquire", "keys", "add", "demo", "--role", "operator", "--out", str(key))

    def client(self) -> Client:
        """Return the client that asks and watches."""
        return Client(self.url, (self.hub / "operator.key").read_text().strip())

    def serve(self) -> None:
        """Start the interface server and wait until it answers."""
        self.start("hub", self.hub, "serve", "acquire")
        self.until(lambda: bool(self._metrics()), "the interface server answers")

    def work(self, *names: str) -> None:
        """Start environments' agents, and wait until the server has heard of them."""
        for name in names:
            self.start(name, self.folder / name, "agent", "--environment", name)
        heard = [f'agent_silent_seconds{{environment="{name}"' for name in names]
        self.until(lambda: all(line in self._metrics() for line in heard), "the agents ask for work")

    def _metrics(self) -> str:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(f"{self.url}/metrics", timeout=10) as answer:
                return str(answer.read().decode())
        except OSError:
            return ""

    def wish(self, name: str, file: str, record: str) -> dict[str, str]:
        """Make one wish for a file of an environment, by the address that holds elsewhere."""
        return {"address": f"https://{name}.example.org/{file}", "environment": name, "record": record}

    def all(self, name: str, label: str) -> list[dict[str, str]]:
        """Make a wish for each file of an environment."""
        files = sorted(file.name for file in self.stores[name].files.iterdir())
        return [self.wish(name, file, f"{name}-{label}-{number}") for number, file in enumerate(files, 1)]

    def ended(self, watcher: Watcher, count: int) -> Iterator[Told]:
        """Yield the next so many ends of requests as the client learns of them. Raises RunFailed."""
        patient_until = time.monotonic() + stage.PATIENCE_S
        while count:
            self.alive()
            if time.monotonic() > patient_until:
                raise RunFailed(f"{count} requests did not end", f"see {self.hub}/log")
            told = watcher.next(stage.LOOK_S)
            if told is not None:
                count -= 1
                yield told

    def close(self) -> None:
        """End everything."""
        super().close()
        for store in self.stores.values():
            store.stop()

    def _write(self, site: Path, text: str) -> None:
        site.mkdir(parents=True)
        (site / "isthmus.toml").write_text(text)


def tell_acquiring(folder: Path, shared: Path | None = None) -> Iterator[Chapter | Happened]:
    """Tell the story: ask, watch, refuse, fail, retry, kill. The folder is made anew.

    `shared` is the folder of the warehouse that what came goes into; without it the server has one of its own.
    """
    shutil.rmtree(folder, ignore_errors=True)
    story = Story(folder.resolve(), shared.resolve() if shared else None)
    with stage.interruptible():
        try:
            yield from _told(story)
        finally:
            story.close()


def _told(story: Story) -> Iterator[Chapter | Happened]:
    yield Chapter("Two network environments, each with a storage server and an agent of its own")
    real = gather(find_samples(), *(store.files for store in story.stores.values()))
    story.make()
    for name, store in story.stores.items():
        photos = f"{len(story.all(name, ''))} {'photos' if real else 'made pictures'}"
        yield Happened("storage", f"{store.kind} of {name} at 127.0.0.1:{store.port}, {photos}")
    story.serve()
    story.work(*_ENVIRONMENTS)
    yield Happened("server", f"at {story.url}; an agent in each environment, connections go out only")
    client = story.client()

    yield Chapter("A client asks for images and watches them arrive, filed by place and time")
    yield from _asked(story, client)

    yield Chapter("A storage server is down; what failed is tried again on demand alone")
    yield from _failing(story, client)

    yield Chapter("An agent is killed in the middle; nothing is lost, nothing comes twice")
    yield from _killed(story, client)

    if find_spec("lance") and find_spec("duckdb"):
        yield Chapter("What came has become rows, which SQL asks")
        yield from _queried(story)


def _asked(story: Story, client: Client) -> Iterator[Happened]:
    wishes = [wish for name in _ENVIRONMENTS for wish in story.all(name, "first")]
    wishes.append({"address": _FORBIDDEN, "environment": "video", "record": "secrets"})
    begun = time.monotonic()
    batch = _ask(client, wishes)
    yield Happened("accepted", f"{len(wishes)} requests, durable after {_ms(begun)}: batch {batch}")
    watcher = Watcher(client, batch)
    found: dict[str, list[Mapping[str, Any]]] = {}
    refused, first_ms = "", ""
    for told in story.ended(watcher, len(wishes)):
        if told.kind == "done":
            first_ms = first_ms or _ms(begun)
            found.setdefault(str(told.facts["environment"]), []).append(told.facts["filed"])
        else:
            refused = f"{told.facts['failure']['kind']}: {told.facts['failure']['reason']}"
    watcher.end()
    for name in _ENVIRONMENTS:
        images = found.get(name, [])
        places = Counter(str(one["place"]) for one in images)
        named = ", ".join(place for place, _ in places.most_common(3))
        count = f"{len(places)} {'place' if len(places) == 1 else 'places'}"
        yield Happened("arrived", f"{len(images)} of {name} from {count} ({named}), such as {images[-1]['path']}")
    yield Happened("pushed", f"the first image reached the client {first_ms} after it was asked for")
    yield Happened("refused", f"{_FORBIDDEN} is {refused}")


def _failing(story: Story, client: Client) -> Iterator[Happened]:
    story.stores["intranet"].stop()
    wishes = [wish for name in _ENVIRONMENTS for wish in story.all(name, "second")[:_DOWN]]
    batch = _ask(client, wishes)
    watcher = Watcher(client, batch)
    ends = Counter((told.facts["environment"], told.kind) for told in story.ended(watcher, len(wishes)))
    failed = client.requests(batch=batch, state="failed")
    yield Happened(
        "failed",
        f"{ends['intranet', 'failed']} of intranet after {failed[0]['attempts']} tries each: "
        f"{failed[0]['failure']['reason']}; {ends['video', 'done']} of video arrived",
    )
    story.stores["intranet"].start()
    changed = client.steer(batch, "retry")
    again = Counter(told.kind for told in story.ended(watcher, changed))
    watcher.end()
    yield Happened("retry", f"the storage server is back: {changed} asked for again, {again['done']} arrived")


def _killed(story: Story, client: Client) -> Iterator[Happened]:
    wishes = [wish for number in range(_REPEATS) for wish in story.all("video", f"third-{number}")]
    batch = _ask(client, wishes)
    watcher = Watcher(client, batch)
    before = list(story.ended(watcher, _KILLED_AFTER))
    story.kill("video")
    held = client.batch(batch)["counts"].get("leased", 0)
    yield Happened(
        "killed", f"the agent of video, after {len(before)} of {len(wishes)} images; it held {held} more"
    )
    story.work("video")
    after = list(story.ended(watcher, len(wishes) - len(before)))
    watcher.end()
    replay = Watcher(client, batch)
    told = [one.facts["request"] for one in story.ended(replay, len(wishes))]
    replay.end()
    done = sum(one.kind == "done" for one in (*before, *after))
    paths = {one.facts["filed"]["path"] for one in (*before, *after) if one.kind == "done"}
    there = sum((story.hub / "images" / path).is_file() for path in paths)
    twice = len(told) - len(set(told))
    yield Happened(
        "arrived",
        f"{done} of {len(wishes)}: each told once ({twice} twice) and filed once ({there} files)",
    )


def _queried(story: Story) -> Iterator[Happened]:
    stage.tell(story.hub, "acquire", "rows")
    rows = stage.tell(story.hub, "query", _QUERY).splitlines()[1:]
    found = [row.split("\t") for row in rows]
    yield Happened("query", _QUERY)
    yield Happened("rows", "; ".join(f"{images} of {place or 'nowhere known'}" for place, images in found))


def _ask(client: Client, wishes: Sequence[Mapping[str, str]]) -> str:
    return str(client.ask(json.dumps(list(wishes)).encode(), "application/json")["batch"])


def _ms(begun: float) -> str:
    return f"{1000 * (time.monotonic() - begun):.0f} ms"
