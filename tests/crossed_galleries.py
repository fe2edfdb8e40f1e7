"""An inner site, an outer one behind a gate and a device, with records that a page has to show harmlessly."""

from __future__ import annotations

import asyncio
import io
from dataclasses import dataclass
from pathlib import Path

from blake3 import blake3
from PIL import Image

from desk_process import enrolled, synced
from gallery_sites import INNER, OUTER, SYNC, carry, here, write
from isthmus.app.galleries.config import read_gallery_config
from isthmus.app.galleries.serving import SyncService
from model_making import SIZE, embedder

STAFF = "galleries.staff"
HOSTILE_ID = '"><img src=x onerror=alert(1)>'
HOSTILE_TEXT = "<script>alert('attribute')</script>"
DEVICE = '[site]\nname = "handheld"\n[device]\nextractor = "phash"\n'
SMALLER = 'extractor = "phash"\nmegapixels = 0.02'


def photo(number: int, side: int = 64, note: str = "") -> bytes:
    """Return a small JPEG of its own; `note` goes into its EXIF."""
    image = Image.new("RGB", (side, side), (40 + 37 * number % 200, 90, 200 - 29 * number % 150))
    for step in range(side):
        image.putpixel((step, (step * (number + 3)) % side), (255, 255, 255))
    exif = Image.Exif()
    if note:
        exif[270] = note  # ImageDescription
    into = io.BytesIO()
    image.save(into, "JPEG", exif=exif)
    return into.getvalue()


@dataclass(frozen=True)
class Crossed:
    """The folders of three sites, each with its isthmus.toml."""

    inner: Path
    outer: Path
    device: Path

    @property
    def tomls(self) -> tuple[Path, Path, Path]:
        return tuple(folder / "isthmus.toml" for folder in (self.inner, self.outer, self.device))  # type: ignore[return-value]

    def add(self, id: str, content: bytes, *attributes: str, gallery: str = "staff") -> str:
        """Add a record at the inner site; returns its image's digest."""
        file = self.inner.parent / "photo.jpg"
        file.write_bytes(content)
        words = [word for pair in attributes for word in ("--set", pair)]
        here(self.inner, "gallery", "add", *words, "--", gallery, id, str(file))
        return blake3(content).hexdigest()

    def publish(self, version: str, seed: int, name: str = "see") -> None:
        """Publish a version of a small model at the inner site."""
        file = self.inner.parent / f"{name}.onnx"
        file.write_bytes(embedder(seed))
        words = ("--name", name, "--version", version, "--note", f"the embedder {seed}")
        sight = ("--picture", "8x8", "--size", str(SIZE), "--threshold", "0.2")
        here(self.inner, "model", "publish", str(file), *words, *sight)

    def cross(self, code: int = 0) -> None:
        """Send, carry and receive."""
        here(self.inner, "gate", "send")
        carry(self.inner.parent / "gate-inner", self.inner.parent / "gate-outer")
        here(self.outer, "gate", "receive", code=code)

    def sync(self, name: str = "handheld") -> None:
        """Let the device synchronise, in memory; the first time it is invited."""
        service = SyncService(read_gallery_config(self.tomls[1]), lambda text: None)
        try:
            known = {one.name for one in service.devices.list()}
            token = "" if name in known else service.devices.invite(name, ["gate"], by="ann")
            with enrolled(service, self.device / "device", token) as device:
                synced(service, device, name)
                device.settle_models()
        finally:
            asyncio.run(service.close())


def crossed(folder: Path) -> Crossed:
    """Make the sites: four records, one of which the outer site refuses, all across, and one granted device."""
    for name in ("gate-inner", "gate-outer"):
        (folder / name).mkdir(parents=True)
    inner = write(folder / "inner", INNER)
    trust = here(inner, "gate", "keys").stdout.strip()
    outer = OUTER.format(extractor="phash", trust=trust).replace('extractor = "phash"', SMALLER)
    made = Crossed(inner, write(folder / "outer", outer + SYNC.format(port=0)), write(folder / "device", DEVICE))
    made.add("ann", photo(1, note=HOSTILE_TEXT), "role=guard", "place=gate 3")
    made.add("bob", photo(2), f"name={HOSTILE_TEXT}")
    made.add(HOSTILE_ID, photo(3))
    made.add("large", photo(4, side=200))
    made.cross()
    here(made.outer, "device", "grant", "staff", "--tag", "gate")
    return made
