"""Removes images from the disk: names first, contents when nobody has them, never anything else.

The order that survives a death anywhere (`retention.keep` goes by it): the paths of requests are unlinked; the
ledger notes that they were removed and tells which contents nobody has; these are unlinked with their thumbnails.
Dying before the note repeats all of it; dying after it leaves contents without a path, which `tidy_contents` finds
by their single link. A path that another request shares is linked again by `restore`.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from isthmus.acquire.filing.contents import CONTENTS, content_path, inside
from isthmus.acquire.filing.naming import EXTENSIONS
from isthmus.acquire.filing.thumbnails import folder_of
from isthmus.acquire.image import Filed
from isthmus.acquire.ports import Line
from isthmus.core.errors import InputError

_DIGEST = re.compile(r"[0-9a-f]{64}")
ORPHANED_S = 86_400.0
"""A content without a path is removed when it is so old: before, its path may still be on its way."""


def remove(root: Path, lines: Sequence[Line], contents: Sequence[str]) -> int:
    """Unlink the paths of requests, then contents with their thumbnails; return the bytes freed.

    What is not there counts as removed. Raises OSError where the disk refuses.
    """
    whole = root.resolve()
    freed = 0
    for line in lines:
        if line.filed is not None:
            with contextlib.suppress(InputError):  # a path that no worker of ours has made
                freed += _unlink(Path(inside(str(whole), line.filed.path)))
                _prune(whole, Path(line.filed.path).parent)
    for digest in contents:
        if _DIGEST.fullmatch(digest):
            for extension in EXTENSIONS.values():
                freed += _unlink(whole / CONTENTS / digest[:2] / f"{digest}.{extension}")
            shutil.rmtree(folder_of(whole, digest), ignore_errors=True)
    return freed


def restore(root: Path, filed: Filed) -> bool:
    """Link a path again whose name went with another request; tell whether there was anything to do."""
    whole = str(root.resolve())
    named = Path(inside(whole, filed.path))
    if named.exists():
        return False
    content = Path(content_path(whole, filed))
    if not content.exists():
        return False
    named.parent.mkdir(parents=True, exist_ok=True)
    try:
        named.hardlink_to(content)
    except FileExistsError:
        return False
    except OSError:
        part = named.with_name(f".{named.name}.part")
        shutil.copyfile(content, part)
        part.replace(named)
    return True


def tidy_contents(root: Path, wanted: Callable[[str], bool], older_s: float = ORPHANED_S) -> int:
    """Remove contents that have no path and that nobody wants (by digest); return the bytes freed."""
    freed = 0
    before = time.time() - older_s
    for content in (root / CONTENTS).glob("??/*"):
        with contextlib.suppress(FileNotFoundError):
            status = content.stat()
            if status.st_nlink == 1 and status.st_mtime < before and not wanted(content.stem):
                freed += _unlink(content)
                shutil.rmtree(folder_of(root, content.stem), ignore_errors=True)
    return freed


def _unlink(path: Path) -> int:
    """Unlink a file; return the bytes that this frees."""
    try:
        status = path.stat()
        path.unlink()
    except FileNotFoundError:
        return 0
    return status.st_size if status.st_nlink == 1 else 0


def _prune(root: Path, relative: Path) -> None:
    """Remove folders that have become empty, up to the root."""
    with contextlib.suppress(OSError):
        while relative.parts:
            os.rmdir(root / relative)  # noqa: PTH106 - told by its error whether it is empty
            relative = relative.parent
