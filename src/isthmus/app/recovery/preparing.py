"""What `prepare` looks at: this site as it is, and the other as it reports itself."""

from __future__ import annotations

import os
import secrets
import shutil
from contextlib import suppress
from pathlib import Path

import lance

from isthmus import __version__
from isthmus.app.recovery.site import RecoverySite
from isthmus.core.errors import IsthmusError
from isthmus.recovery.prepare import Side
from isthmus.warehouse.files import files_of
from isthmus.warehouse.name import TableName
from isthmus.warehouse.place import local_path


def sides(site: RecoverySite) -> tuple[Side, Side | None]:
    """Return what is known of this site and of the other; None where nothing was heard of that."""
    other = site.pair.other()
    here = Side(
        site.config.site.name,
        site.part.peer,
        site.part.stream,
        site.pair.fence.role,
        site.pair.fence.epoch,
        _reached(site),
        str(site.key.public),
        site.part.trust,
        site.clock.now(),
        _free(site.folder),
        _needs(site),
        _links(site),
        {"isthmus": __version__, "lance": lance.__version__},
    )
    if other is None:
        return here, None
    there = Side(
        other.site,
        site.config.site.name,
        other.stream,
        other.role,
        other.epoch,
        "",
        site.part.trust[0] if len(site.part.trust) == 1 else "",  # only a trusted key's report is read
        None,
        None,
        other.free_bytes or None,
        None,
        None,
        {"isthmus": other.version} if other.version else {},
    )
    return here, there


def _reached(site: RecoverySite) -> str:
    """Say what keeps the places of files out of reach; empty where nothing does."""
    try:
        site.outbound.status()
        site._carrier(site.part.out_place).names()
        site._carrier(site.part.in_place).names()
    except (IsthmusError, OSError) as error:
        return str(error)
    return ""


def _free(folder: Path) -> int | None:
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    with suppress(OSError):
        return shutil.disk_usage(folder).free
    return None


def _needs(site: RecoverySite) -> int:
    """Return the bytes of everything that is published."""
    total = 0
    for one in site.published():
        with suppress(IsthmusError):
            total += sum(file.size for file in files_of(site.catalog.open(TableName.parse(one.name))))
    return total


def _links(site: RecoverySite) -> bool | None:
    """Tell whether a file of the warehouse can be linked into the state."""
    root = local_path(site.root)
    if root is None or not root.is_dir():
        return None
    site.folder.mkdir(parents=True, exist_ok=True)
    name = f".link-{secrets.token_hex(4)}"
    try:
        (root / name).touch()
        os.link(root / name, site.folder / name)
    except OSError:
        return False
    finally:
        (root / name).unlink(missing_ok=True)
        (site.folder / name).unlink(missing_ok=True)
    return True
