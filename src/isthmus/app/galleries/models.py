"""Publishes models at an inner site: a released folder of the loop, any folder of files, or one ONNX file.

A released folder is verified against its manifest and tells of itself by its card. Whatever else is published is
named on the command line. An ONNX file is run once on an example, and what it gives is published as its proof.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from isthmus.app.galleries.inner import Inner
from isthmus.core.errors import Corrupt, InputError, UnknownName
from isthmus.gallery.publication import MOST_BYTES, Published
from isthmus.gallery.publishing import KEEP
from isthmus.imaging.network import Network, NetworkExtractor, Sight, Told

MANIFEST, CARD = "manifest.json", "card.json"


@dataclass(frozen=True, slots=True)
class PublishAsk:
    """What to publish: `what` is a folder, an ONNX file, or a model id or pipeline of the site's own loop.

    `name` and `version` may stay empty for a release of the loop. `sight` makes it an extractor of pictures.
    """

    what: str
    name: str = ""
    version: str = ""
    sight: Sight | None = None
    note: str = ""
    keep: int = KEEP


@dataclass(frozen=True, slots=True)
class _Found:
    name: str
    version: str
    files: dict[str, bytes]
    metrics: dict[str, float | None]
    lineage: dict[str, str]


def publish_model(site: Inner, ask: PublishAsk, who: str) -> tuple[str, Published]:
    """Publish a model; returns its name and what was published.

    Raises InputError for what cannot be published, Corrupt for a release whose files are not what its manifest
    says or an ONNX file that cannot be run, UnknownName for a model that the loop does not know.
    """
    found = _found(site, ask)
    if not found.name or not found.version:
        raise InputError(f"{ask.what} does not say what it is", "give it a --name and a --version")
    onnx = _onnx(found)
    if ask.sight is not None and not onnx:
        raise InputError(f"{ask.what} has no one ONNX file to make vectors with", "name the file itself")
    publishing = site.publishing
    told = Published(
        found.version,
        who,
        publishing.now(),
        (),
        onnx,
        ask.sight,
        _proof(found, onnx, ask.sight) if onnx else (),
        found.metrics,
        found.lineage,
        ask.note,
    )
    return found.name, publishing.publish(found.name, found.files, told, ask.keep)


def _proof(found: _Found, onnx: str, sight: Sight | None) -> tuple[Told, ...]:
    network = Network(found.files[onnx], onnx)
    if sight is not None:
        try:
            NetworkExtractor(network, sight, onnx).extract(np.zeros((8, 8, 3), np.uint8))
        except (Corrupt, InputError) as error:
            raise InputError(
                f"{onnx} makes no vectors of {sight.size} components of pictures of"
                f" {sight.width} x {sight.height}: {error.what}",
                "say how it is given pictures: --picture, --layout, --size",
            ) from error
    return network.proof()


def _found(site: Inner, ask: PublishAsk) -> _Found:
    path = Path(ask.what)
    if path.is_file():
        files = {path.name: path.read_bytes()}
        return _Found(ask.name, ask.version, files, {}, {})
    folder = path if path.is_dir() else _released(site, ask.what)
    if (folder / MANIFEST).is_file() and (folder / CARD).is_file():
        return _release(folder, ask)
    return _Found(ask.name, ask.version, _read(folder), {}, {})


def _released(site: Inner, what: str) -> Path:
    """Return the folder of a model of the site's own loop: by its id, or a pipeline's champion."""
    from isthmus.app.site import Site
    from isthmus.loop.release.lifecycle import WITHDRAWN

    loop = Site.open(site.config.path)
    models = loop.registry.list()
    chosen = next((one for one in models if one.model_id == what), None) or loop.registry.champion(what)
    if chosen is None:
        known = [one.model_id for one in models] + [one.pipeline for one in models]
        raise UnknownName.among("file, folder, model or pipeline", what, known)
    if chosen.state == WITHDRAWN:
        raise InputError(f"{what} is withdrawn", "publish another one: isthmus loop models lists them")
    from isthmus.warehouse.place import local_path

    folder = local_path(chosen.folder)
    if folder is None:
        raise InputError(f"{what} lies in {chosen.folder}", "copy the folder here and publish it by its path")
    return folder


def _release(folder: Path, ask: PublishAsk) -> _Found:
    """Read a released folder, verified, and what its card tells."""
    from isthmus.loop.release.folder import read_card, read_manifest, verify

    verify(str(folder))
    card, (_, manifest) = read_card(str(folder)), read_manifest(str(folder))
    metrics = {
        f"{one.metric} ({one.unit})" if one.unit else one.metric: one.value if np.isfinite(one.value) else None
        for one in card.measures
        if one.model == "candidate" and one.slice == "overall"
    }
    lineage = {
        "model": card.model_id,
        "pipeline": card.pipeline,
        "run": card.run_id,
        "training": card.mode,
        "started from": card.parent or "nothing",
        "table": f"{card.table}, version {card.version}",
        "id list": f"{card.id_count} scenes, BLAKE3 {card.id_list_digest}",
        "rules": "; ".join(f"{one.name}: {one.expression}" for one in card.rules)[:1900] or "all scenes",
        "manifest": manifest,
    }
    return _Found(ask.name or card.pipeline, ask.version or card.model_id, _read(folder), metrics, lineage)


def _read(folder: Path) -> dict[str, bytes]:
    """Read all files of a folder. Raises InputError for links and what is too large, Corrupt for no files."""
    paths = [path for path in sorted(folder.rglob("*")) if path.is_symlink() or path.is_file()]
    for path in paths:
        if path.is_symlink():
            raise InputError(f"{path} is a link", "copy the file itself into the folder")
    if sum(path.stat().st_size for path in paths) > MOST_BYTES:
        raise InputError(f"{folder} has more than {MOST_BYTES:,} bytes", "publish what devices need alone")
    if not paths:
        raise Corrupt(f"{folder} has no files", "name the folder of a model")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def _onnx(found: _Found) -> str:
    """Return the only ONNX file; empty where there is none or more than one."""
    names: Sequence[str] = [path for path in found.files if path.endswith(".onnx")]
    return names[0] if len(names) == 1 else ""


def card_text(published: Published) -> str:
    """Return what is known of a version as one JSON document."""
    import msgspec

    return json.dumps(msgspec.to_builtins(published), indent=2, ensure_ascii=False)
