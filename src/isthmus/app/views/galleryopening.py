"""Opens what the views of galleries look at, as the command line's own lists do, and closes it again.

Nothing is made for a site that has not begun yet.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from isthmus.core.errors import MissingExtra

if TYPE_CHECKING:
    from isthmus.app.galleries.config import GalleryConfig
    from isthmus.app.galleries.device import Portable
    from isthmus.app.galleries.outer import AnySet


@contextlib.contextmanager
def needing(extra: str = "gallery") -> Iterator[None]:
    """Say which extra to install where a part is missing. Raises MissingExtra."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise MissingExtra.named(str(error.name or error), extra) from error


def config_of(path: Path) -> GalleryConfig:
    """Read the gallery's tables of a site. Raises ConfigError, InputError."""
    from isthmus.app.galleries.config import read_gallery_config

    return read_gallery_config(path)


def state_file(config: GalleryConfig) -> Path:
    """Return where the set's state lies, which may not be there yet."""
    return config.state_folder / "isthmus.sqlite"


@contextlib.contextmanager
def held_set(config: GalleryConfig) -> Iterator[AnySet | None]:
    """Lend the set of an inner or an outer site; None where it has not begun yet."""
    from isthmus.app.galleries.outer import open_set
    from isthmus.state.store import Store

    part = config.gallery
    if part is None or not (state_file(config).exists() or part.mongodb_file or part.mongodb_env):
        yield None
        return
    with Store(state_file(config)) as store, contextlib.closing(open_set(config, store)) as held:
        yield held


@contextlib.contextmanager
def portable_of(config: GalleryConfig) -> Iterator[Portable | None]:
    """Lend a device; None where it holds nothing yet."""
    from isthmus.app.galleries.device import Portable

    assert config.device is not None
    if not (config.place(config.device.folder) / "device.db").exists():
        yield None
        return
    portable = Portable(config)
    try:
        yield portable
    finally:
        portable.site.close()
