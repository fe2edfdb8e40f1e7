"""The gallery's demonstration: inner site, gate, sync server and device as processes of their own, in one folder.

Each step is a command line that a user would type. The gatekeeper is played by this process: it copies files from
one folder to the other, and once it loses one.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isthmus.app import stage
from isthmus.app.chapters import Chapter, Happened, find_samples
from isthmus.core.errors import RunFailed
from isthmus.gallery.piece import shelved

_PEOPLE = 6
_LOOK_S = 0.2
_LOOKS = 900
_TOML = {
    "inner": """[site]
name = "inner"
[gallery]
role = "inner"
[gate]
folder = "../gate-inner"
key = "keys/gate.pem"
cut_s = 0
heartbeat_s = 1
""",
    "outer": """[site]
name = "outer"
[gallery]
role = "outer"
extractor = "{extractor}"
[gate]
folder = "../gate-outer"
trust = ["{public}"]
gap_alarm_s = 0
poll_s = 0.2
[sync]
port = 0
[ice]
loopback = true
""",
    "device": """[site]
name = "gate-b12"
[device]
extractor = "{extractor}"
[ice]
loopback = true
""",
}


class Story:
    """The three sites and the gate in a folder."""

    def __init__(self, folder: Path, extractor: str) -> None:
        self.folder, self.extractor = folder, extractor

    def make(self) -> None:
        """Make the sites anew."""
        shutil.rmtree(self.folder, ignore_errors=True)
        for name in ("inner", "outer", "device", "gate-inner", "gate-outer"):
            (self.folder / name).mkdir(parents=True)
        self.write("inner")
        public = self.tell("inner", "gate", "keys").strip()
        self.write("outer", extractor=self.extractor, public=public)
        self.write("device", extractor=self.extractor)

    def photos(self, of: Mapping[str, Path]) -> Path:
        """Make a folder of photos that are named as the records are to be."""
        folder = self.folder / "photos"
        folder.mkdir()
        for name, photo in of.items():
            shutil.copyfile(photo, folder / f"{name}{photo.suffix}")
        return folder

    def write(self, site: str, **values: str) -> None:
        """Write a site's TOML."""
        (self.folder / site / "isthmus.toml").write_text(_TOML[site].format(**values))

    def tell(self, site: str, *words: str) -> str:
        """Run one command of a site as a process of its own and return what it printed. Raises RunFailed."""
        return stage.tell(self.folder / site, *words)

    def carry(self, lose: int = 0) -> int:
        """Be the gatekeeper: move what is there to the other side, but lose some; returns how many came."""
        came = 0
        for file in sorted((self.folder / "gate-inner").iterdir()):
            if file.name.startswith("."):
                continue
            if lose and file.name.count(".") == 1:
                lose -= 1
            else:
                shutil.copyfile(file, self.folder / "gate-outer" / file.name)
                came += 1
            file.unlink()
        return came

    @contextlib.contextmanager
    def server(self) -> Iterator[str]:
        """Run the sync server as a process of its own; yields its address."""
        log = (self.folder / "outer" / "server.log").open("w")
        command = stage.command(self.folder / "outer", "serve", "sync")
        with (
            log,
            stage.interruptible(),
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True) as process,
        ):
            assert process.stdout is not None
            try:
                line = process.stdout.readline().split()
                if line[:1] != ["serving"]:
                    raise RunFailed("the sync server did not start", f"see {log.name}")
                yield line[1]
            finally:
                stage.end(process)

    def until(self, url: str, holds: Callable[[dict[str, Any]], bool], what: str) -> dict[str, Any]:
        """Ask the sync server for its status until something holds. Raises RunFailed where it never does."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        for _ in range(_LOOKS):
            try:
                with opener.open(f"{url}/v1/status", timeout=30) as answer:
                    status: dict[str, Any] = json.load(answer)
            except OSError as error:
                raise RunFailed(
                    f"the sync server is gone: {error}", f"see {self.folder}/outer/server.log"
                ) from error
            if holds(status):
                return status
            time.sleep(_LOOK_S)
        raise RunFailed(f"the outer site never got so far: {what}", f"see {self.folder}/outer/server.log")

    def level(self, url: str) -> str:
        """Wait until the outer site stands where the inner one does, vectors made; returns the position."""
        wanted = json.loads(self.tell("inner", "gate", "status", "--json"))["position"]

        def there(status: dict[str, Any]) -> bool:
            images = [one for one in status["galleries"] if shelved(one["gallery"]) is None]
            done = all(one["records"] == one["vectors"] for one in images)
            return done and status["gate"]["standing"] == wanted

        self.until(url, there, "level with the inner site")
        return f"{wanted['epoch']}/{wanted['seq']}, digest {wanted['digest'][:12]} on both sides"


@dataclass(frozen=True, slots=True)
class Released:
    """A model that crosses with the galleries: the folder that it was released into, and its inputs for a run."""

    folder: Path
    inputs: Mapping[str, Any]


def tell_galleries(folder: Path, released: Released | None = None) -> Iterator[Chapter | Happened]:
    """Tell the story: enrol, change, lose, heal, sync, identify, remove. The folder is made anew."""
    samples = find_samples()
    people = samples is not None and (samples / "faces" / "caltech").is_dir()
    story = Story(folder, "faces" if people else "phash")
    faces = _faces(samples) if people and samples else _pictures(folder.with_name(f"{folder.name}-pictures"))
    known, stranger = list(faces)[:-1], list(faces)[-1]

    what = "a gallery of reference images" + (", and publishes the released model" if released else "")
    yield Chapter(f"An inner network keeps {what}")
    story.make()
    story.tell(
        "inner", "gallery", "import", "staff", str(story.photos({name: faces[name][0] for name in known[:-1]}))
    )
    yield Happened("gallery", f"{len(known) - 1} records imported at the inner site")
    if released is not None:
        published = story.tell("inner", "model", "publish", str(released.folder.resolve())).split()
        yield Happened("model", f"{published[1]} is published: a change of the same stream, signed with it")
    for line in story.tell("inner", "gate", "send").splitlines():
        yield Happened("inner", line)
    yield Happened("gate", f"{story.carry()} files copied one way")

    with story.server() as url:
        yield Chapter("A sync server behind the gate applies it, a device fetches it over ICE")
        yield Happened("outer", f"stands at {story.level(url)}")
        story.tell("outer", "device", "grant", "galleries.*", "models.*", "--tag", "airport", "--mode", "both")
        token = folder / "device" / "token"
        with open(os.open(token, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:  # noqa: PTH123 - with its mode
            file.write(story.tell("outer", "device", "invite", "gate-b12", "--tag", "airport"))
        story.tell("device", "device", "enrol", url, "--token-file", str(token))
        token.unlink()
        yield Happened(
            "device", "gate-b12 is enrolled; the policy gives it galleries and models by its tag airport"
        )
        yield from _synced(story)
        yield Happened("identify", _identified(story, faces[known[0]][1], known[0]))
        yield Happened("identify", _identified(story, faces[stranger][1], "a stranger"))
        if released is not None:
            yield from _run(story, published[0], released.inputs)

        yield Chapter("Changes cross; the gate loses a file, which shows and heals")
        story.tell("inner", "gallery", "replace", "staff", known[1], str(faces[known[1]][1]))
        story.tell("inner", "gate", "send")
        story.carry(lose=1)
        story.tell("inner", "gallery", "remove", "staff", known[0])
        story.tell("inner", "gallery", "add", "staff", known[-1], str(faces[known[-1]][0]))
        story.tell("inner", "gate", "send")
        story.carry()
        yield Happened("gate", _gap(story, url))
        line = story.tell("outer", "gate", "request").strip()
        yield Happened("request", f"an operator carries back: {line}")
        story.tell("inner", "gate", "resend", line)
        story.carry()
        yield Happened("outer", f"stands at {story.level(url)}")
        yield from _synced(story)
        yield Happened("identify", _identified(story, faces[known[-1]][1], f"{known[-1]}, new"))
        yield Happened("identify", _identified(story, faces[known[0]][1], f"{known[0]}, removed"))


def _gap(story: Story, url: str) -> str:
    def gaps(status: dict[str, Any]) -> list[str]:
        return [alarm["what"] for alarm in status["alarms"] if alarm["kind"] == "GAP"]

    found = gaps(story.until(url, lambda status: bool(gaps(status)), "noticing the gap"))
    return f"alarm: {found[0].partition(';')[0]}"


def _synced(story: Story) -> Iterator[Happened]:
    for line in story.tell("device", "device", "sync").splitlines()[1:]:
        gallery, tier, written, removed, verified = line.split("\t")
        equal = "equal digests" if verified in ("true", "yes") else "NOT VERIFIED"
        yield Happened("sync", f"{gallery} by {tier}: {written} written, {removed} removed, {equal}")


def _run(story: Story, name: str, inputs: Mapping[str, Any]) -> Iterator[Happened]:
    """Run the model on the device."""
    import numpy as np

    for line in story.tell("device", "device", "models").splitlines()[1:]:
        _, version, state, size, digest, _ = line.split("\t")
        yield Happened("model", f"{version} is {state} on the device: {int(size):,} bytes, {digest}, proven there")
    file = story.folder / "device" / "inputs.npz"
    np.savez(file, allow_pickle=False, **inputs)
    lines = story.tell("device", "device", "run", name, str(file)).splitlines()[1:]
    told = [line.split("\t") for line in lines]
    yield Happened(
        "run",
        "; ".join(f"{output} of {shape}: {' '.join(values.split()[:3])} …" for output, shape, values in told),
    )


def _identified(story: Story, photo: Path, who: str) -> str:
    lines = story.tell("device", "device", "identify", str(photo)).splitlines()
    best = lines[1].split("\t") if len(lines) > 2 else None
    return f"a photo of {who}: {lines[-1]}" + (f" (nearest at {best[2]})" if best else "")


def _faces(samples: Path) -> dict[str, list[Path]]:
    """Choose people with two photos each, from those whose first photos lie far apart in the series."""
    chosen = {}
    for person in sorted((samples / "faces" / "caltech").iterdir())[:_PEOPLE]:
        photos = sorted(person.glob("*.jpg"))
        chosen[person.name] = [photos[0], photos[len(photos) // 2]]
    return chosen


def _pictures(folder: Path) -> dict[str, list[Path]]:
    """Draw pictures of things, two views of each, where there are no samples."""
    import numpy as np
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    chosen = {}
    for number in range(_PEOPLE):
        shape = np.random.default_rng(number).normal(size=(6, 6))
        chosen[f"thing-{number}"] = views = [folder / f"{number}-{view}.png" for view in range(2)]
        for view, path in enumerate(views):
            tones = 128 + 100 * np.tanh(shape) + 6 * view
            Image.fromarray(tones.clip(0, 255).astype(np.uint8)).resize((240, 180), 3).convert("RGB").save(path)
    return chosen
