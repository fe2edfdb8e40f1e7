"""Small ONNX models that make vectors of pictures of 8 x 8 pixels, and a road for them: two sites and a device."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import numpy as np

from gallery_doubles import OpenPolicy, StillClock
from gallery_making import SteppingClock, carried, sqlite_set
from isthmus.core.position import Position
from isthmus.gallery.device.models import Settled
from isthmus.gallery.device.site import DeviceSite
from isthmus.gallery.inner import InnerSite
from isthmus.gallery.publication import Published
from isthmus.gallery.publishing import Publishing
from isthmus.gallery.source import OplogSource
from isthmus.gallery.store.sqlite import Step
from isthmus.gallery.sync.epochs import Epochs
from isthmus.gallery.sync.pull import SyncReport
from isthmus.gallery.sync.server import SyncServer
from isthmus.gallery.sync.serving import serve
from isthmus.gallery.target import SetTarget
from isthmus.imaging.network import Network, Sight
from isthmus.state.audit import Audit
from isthmus.state.store import Store
from isthmus.transfer.channel import memory_pair

SIDE, SIZE = 8, 16
SIGHT = Sight(SIDE, SIDE, SIZE, 0.5)


@cache
def embedder(seed: int, padding: int = 0) -> bytes:
    """Write a model that turns pictures (n, 3, 8, 8) into vectors of 16 by one product, drawn by `seed`.

    `padding` makes the file so many bytes larger.
    """
    from onnx import TensorProto, helper, numpy_helper

    weights = np.random.default_rng(seed).normal(size=(3 * SIDE * SIDE, SIZE)).astype(np.float32)
    nodes = [
        helper.make_node("Flatten", ["picture"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["vector"]),
    ]
    given = helper.make_tensor_value_info("picture", TensorProto.FLOAT, ["n", 3, SIDE, SIDE])
    result = helper.make_tensor_value_info("vector", TensorProto.FLOAT, ["n", SIZE])
    graph = helper.make_graph(nodes, "embedder", [given], [result], [numpy_helper.from_array(weights, "weights")])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    if padding:
        made.doc_string = "." * padding
    content: bytes = made.SerializeToString()
    return content


def told(version: str, content: bytes, **fields: object) -> Published:
    """Say of an embedder what its publication says, but for its files."""
    values = {"onnx": "see.onnx", "sight": SIGHT, "proof": Network(content, "see.onnx").proof(), **fields}
    return Published(version, "anna", "2026-11-22T08:00:00+00:00", (), **values)  # type: ignore[arg-type]


class Road:
    """An inner site that publishes, an outer one that follows, and devices that synchronise with it."""

    def __init__(self, folder: Path, step: Step = lambda name: None) -> None:
        self.folder, self.clock = folder, SteppingClock()
        self.inner = sqlite_set(folder / "inner", step=step)
        self.outer = sqlite_set(folder / "outer", check=True, packed=True)
        audit = Audit(self.inner.store, self.clock)
        self.site = InnerSite(self.inner, self.clock, "anna", audit)
        self.publishing = Publishing(self.inner, self.site, self.clock, "anna", audit)
        self.source, self.target = OplogSource(self.inner), SetTarget(self.outer)
        store = Store(folder / "server.db")
        self.policy = OpenPolicy()
        self.server = SyncServer(self.outer, Epochs(store), self.policy, Audit(store, self.clock))

    def publish(self, version: str, content: bytes, name: str = "see", **fields: object) -> Published:
        """Publish an embedder."""
        keep = int(fields.pop("keep", 2))  # type: ignore[call-overload]
        return self.publishing.publish(name, {"see.onnx": content}, told(version, content, **fields), keep)

    def cross(self) -> None:
        """Bring the outer site level with the inner one."""
        stands = self.target.position(self.outer.stream) or Position(1, 0)
        while cut := self.source.after(stands, 1 << 20):
            stands = self.target.apply(carried(self.source, cut)).position

    def device(self, step: Callable[[str], None] = lambda name: None, key: bytes | None = None) -> DeviceSite:
        return DeviceSite(self.folder / "device", StillClock(), key, step)

    def sync(self, device: DeviceSite) -> Sequence[Settled]:
        """Synchronise a device, and settle its models."""
        self.pull(device)
        return device.settle_models()

    def pull(self, device: DeviceSite) -> SyncReport:
        """Synchronise a device alone."""

        async def both() -> SyncReport:
            ours, theirs = memory_pair()
            serving = asyncio.create_task(serve(self.server, theirs, "station-7"))
            try:
                return await device.sync(ours)
            finally:
                await ours.close()
                await serving

        return asyncio.run(both())


def active(device: DeviceSite, name: str = "see") -> str:
    """Return the active version of a model, empty where there is none."""
    return next((one.published.version for one in device.models.versions() if one.state == "active"), "")
