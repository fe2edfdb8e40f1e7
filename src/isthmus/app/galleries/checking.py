"""What the tables of a gallery's site say of each other, and what a person should still do about them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from isthmus.app.galleries.config import GalleryConfig, read_gallery_config
from isthmus.app.sitepart import open_toml
from isthmus.core.errors import UnknownName
from isthmus.imaging.extractors import names


def check_galleries(path: Path) -> tuple[str, list[str]]:
    """Check the gallery's tables of a site's TOML; returns what the site is, and notes on what is left to be done.

    Raises ConfigError with every mistake and its line.
    """
    config = read_gallery_config(path)
    reader = open_toml(path)
    for where, what in _mistakes(config):
        reader.mistake(where, what)
    reader.finish()
    return _what(config), list(_notes(config))


def _mistakes(config: GalleryConfig) -> Iterator[tuple[tuple[str, ...], str]]:
    gallery, gate = config.gallery, config.gate
    for table, part in (("gallery", gallery), ("device", config.device)):
        if part is not None and part.extractor and part.extractor not in names():
            yield (table, "extractor"), str(UnknownName.among("extractor", part.extractor, names()))
    if config.sync is not None and gallery is None:
        yield ("sync",), '[sync] serves galleries, and there is no [gallery]: add it with role = "outer"'
    if gate is not None and gallery is None:
        yield ("gate",), "[gate] carries galleries, and there is no [gallery]: add it with the role of this side"
    if gate is not None and gallery is not None and gallery.role == "inner" and not gate.key:
        yield ("gate", "key"), 'a sending site needs a key: key = "keys/gate.pem", made by isthmus gate keys'
    if gate is not None and gallery is not None and gallery.role == "outer" and not gate.trust:
        yield ("gate", "trust"), 'nobody is trusted: trust = ["ed25519:…"], as isthmus gate keys shows it'


def _what(config: GalleryConfig) -> str:
    parts = []
    if config.gallery is not None:
        way = "with a gate" if config.gate is not None else "without a gate"
        parts.append(f"an {config.gallery.role} site {way}")
    if config.sync is not None:
        parts.append(f"a sync server at {config.sync.host} port {config.sync.port}")
    if config.device is not None:
        parts.append("a device")
    return ", ".join(parts) or "nothing of a gallery"


def _notes(config: GalleryConfig) -> Iterator[str]:
    gate = config.gate
    if gate is not None and not Path(gate.folder).is_dir():
        yield f"the gate's folder {gate.folder} is not there yet"
    if gate is not None and gate.key and not Path(gate.key).exists():
        yield f"{gate.key} is not there yet: isthmus gate keys"
    if config.gallery is not None and config.gallery.role == "outer" and not _maker(config):
        yield "[gallery] names no extractor and no model: devices get images without vectors"


def _maker(config: GalleryConfig) -> str:
    return "" if config.gallery is None else config.gallery.extractor or config.gallery.model
