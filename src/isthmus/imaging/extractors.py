"""Finds extractors by name: those of Isthmus and those that other packages bring by an entry point of GROUP.

An entry point names what makes an Extractor when called with the cache folder (a Path, or None for the usual one).
"""

from __future__ import annotations

import importlib.metadata
from importlib.metadata import EntryPoint
from pathlib import Path

from isthmus.core.errors import InputError, UnknownName
from isthmus.imaging.port import GROUP, Extractor

_OWN = {
    "faces": "isthmus.imaging.faces:Faces",
    "faces8": "isthmus.imaging.faces:Faces8",
    "faces16": "isthmus.imaging.faces:Faces",
    "phash": "isthmus.imaging.fingerprint:Phash",
}


def names() -> list[str]:
    """List the extractors that are installed, sorted."""
    return sorted(_known())


def load(name: str, cache: Path | None = None) -> Extractor:
    """Make the extractor of that name. Raises UnknownName, MissingExtra, InputError where it cannot be loaded."""
    known = _known()
    if name not in known:
        raise UnknownName.among("extractor", name, known)
    try:
        extractor: Extractor = known[name].load()(cache)
    except (ImportError, AttributeError) as error:
        raise InputError(
            f"extractor {name!r} cannot be loaded: {error}",
            "install its package anew, or choose another extractor",
        ) from error
    return extractor


def _known() -> dict[str, EntryPoint]:
    own = {name: EntryPoint(name, value, GROUP) for name, value in _OWN.items()}
    brought = {point.name: point for point in importlib.metadata.entry_points(group=GROUP)}
    return brought | own  # nobody's package takes the place of our own
