"""What pages take for given: TOMLs that are read as they stand, installed packages, sites with free ports."""

from __future__ import annotations

import importlib
import json
import re
import ssl
import sys
import tomllib
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from acquire_sites import Storage, running
from crossed_galleries import photo
from gallery_sites import free_port, here, until
from isthmus.app.sitepart import ACQUIRE_TABLES, GALLERY_TABLES, LOOP_TABLES, open_toml
from page_reader import Reader
from pages import Block, blocks_of


def read_site(reader: Reader, block: Block, around: str = "") -> None:
    """Read a block by every reader whose tables it has; `around` is put before one that is a part of a table."""
    path = reader.folder / "as-it-stands" / "isthmus.toml"
    path.parent.mkdir(exist_ok=True)
    text = around + block.text
    path.write_text(text if re.search(r"^\[site\]", text, re.MULTILINE) else f'[site]\nname = "site"\n{text}')
    tables = set(open_toml(path).root) - {"site"}
    read = [reader_of(path) for names, reader_of in _readers() if tables & set(names)]
    assert read, f"nothing reads {sorted(tables)}"


def _readers() -> Iterator[tuple[tuple[str, ...], Callable[[Path], Any]]]:
    from isthmus.app.acquiring.config import read_acquire_config
    from isthmus.app.config import read_config
    from isthmus.app.console import read_console_config
    from isthmus.app.galleries.config import read_gallery_config
    from isthmus.app.recovery.config import read_recovery_config

    yield ACQUIRE_TABLES, read_acquire_config
    yield GALLERY_TABLES, read_gallery_config
    yield ("recovery",), read_recovery_config
    yield ("console",), read_console_config
    yield LOOP_TABLES, read_config


def change(toml: Path, *pairs: tuple[str, str], more: str = "") -> None:
    """Put other text in the place of what a TOML says, each once, and add more at its end."""
    text = toml.read_text()
    for old, new in pairs:
        assert text.count(old) == 1, (old, text)
        text = text.replace(old, new)
    toml.write_text(text + more)


def learns_little(demo: Path) -> None:
    """Write the site that a demonstration then takes up: one that learns less, and so is quick."""
    from isthmus.app.starter import write_site

    learns = (
        ("epochs = 12", "epochs = 2"),
        ("trials = 4", "trials = 1"),
        ("episodes = 16", "episodes = 8"),
        ("scenes = 40", "scenes = 4"),
    )
    bound = ('against = "constant velocity"\nmin_improvement = 0.05', "maximum = 99.0")
    change(write_site(demo, small=True), *learns, bound)


def at_free_ports(toml: Path) -> int:
    """Let a new site listen at a free port where it names one; returns the last."""
    text, port = toml.read_text(), 0
    for named in re.findall(r"^port = \d+", text, re.MULTILINE):
        port = free_port()
        text = text.replace(named, f"port = {port}", 1)
    toml.write_text(text)
    return port


def comes_up(folder: Path) -> None:
    """Wait until all parts of a site that was started run."""

    def up() -> bool:
        with suppress(AssertionError):
            return "running" in here(folder, "status", "--running").stdout
        return False

    until(up, f"{folder.name} is up")


@contextmanager
def installed(page: str, folder: Path) -> Iterator[str]:
    """Install the package of a page as pip would; yields the group and name of what it brings, as one word."""
    (declared,) = (
        found for block in blocks_of(page) if block.language == "toml" for found in [tomllib.loads(block.text)]
        if "project" in found
    )  # fmt: skip
    ((group, points),) = declared["project"]["entry-points"].items()
    ((name, place),) = points.items()
    module = place.partition(":")[0]
    (code,) = (block.text for block in blocks_of(page) if block.language == "python")
    file = folder / Path(*module.split(".")).with_suffix(".py")
    file.parent.mkdir(parents=True)
    (file.parent / "__init__.py").touch()
    file.write_text(code)
    meta = folder / f"{module.split('.')[0]}-1.0.dist-info"
    meta.mkdir()
    (meta / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module.split('.')[0]}\nVersion: 1.0\n")
    (meta / "entry_points.txt").write_text(f"[{group}]\n{name} = {place}\n")
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        yield name
    finally:
        sys.path.remove(str(folder))
        for known in [known for known in sys.modules if known.split(".")[0] == module.split(".")[0]]:
            del sys.modules[known]


def released(toml: Path, seed: int) -> Path:
    """Let a site's loop have released a champion of the pipeline forecast; returns the model's folder."""
    from isthmus.app.site import Site
    from isthmus.loop.release.folder import WEIGHTS
    from isthmus.loop.release.releases import Releases
    from model_making import embedder
    from releasing import card

    def fill(into: Path) -> None:
        for name in WEIGHTS:
            (into / name).write_bytes(embedder(seed) if name == "model.onnx" else b"weights")

    site = Site.open(toml)
    releases = Releases(site.registry, str(site.state_folder / "releases"))
    model_id = site.registry.allot("forecast")
    releases.publish(model_id, fill, card(model_id))
    releases.promote(model_id, "it is better")
    site.store.close()
    return site.state_folder / "releases" / "forecast" / model_id


def sees(file: Path) -> None:
    """Write an ONNX model that makes 512 components of a picture of any size: its mean colour, mixed."""
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper, save

    mix = np.random.default_rng(5).normal(size=(3, 512)).astype(np.float32)
    nodes = [
        helper.make_node("GlobalAveragePool", ["picture"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["flat"]),
        helper.make_node("MatMul", ["flat", "mix"], ["vector"]),
    ]
    given = helper.make_tensor_value_info("picture", TensorProto.FLOAT, ["n", 3, 112, 112])
    result = helper.make_tensor_value_info("vector", TensorProto.FLOAT, ["n", 512])
    graph = helper.make_graph(nodes, "sees", [given], [result], [numpy_helper.from_array(mix, "mix")])
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(file))


@contextmanager
def storage(folder: Path) -> Iterator[Storage]:
    store = Storage(folder / "storage")
    for number, name in enumerate(("a/1.jpg", "b/2.jpg", "c/3.jpg")):
        (store.folder / name).parent.mkdir(exist_ok=True)
        (store.folder / name).write_bytes(photo(number))
    with running(store):
        yield store


def rules_for(store: Storage) -> str:
    """Allow what lies in the storage server, under the names that the page's list has."""
    names = ("https://video.example.org/", "https://archive.example.org/")
    rewrites = [f'[[agent.rewrite]]\nprefix = "{name}"\nto = "{store.url}/"\n' for name in names]
    return f"\n{store.allow}{''.join(rewrites)}"


def described(url: str, records: int) -> bool:
    """Tell whether a sync server holds so many records, each with its vector."""
    handlers = (
        urllib.request.ProxyHandler({}),
        urllib.request.HTTPSHandler(
            context=ssl._create_unverified_context()  # the test's own certificate
        ),
    )
    with urllib.request.build_opener(*handlers).open(f"{url}/v1/status", timeout=30) as answer:
        galleries = json.load(answer)["galleries"]
    return any(one["records"] == one["vectors"] == records for one in galleries)
