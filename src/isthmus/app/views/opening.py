"""Opens what a view of the loop looks at, quickly: the site as its files are now, and readers of its OLAP.

A TOML and its rules are read again only when they changed; a reader of the OLAP is lent to one view at a time and
kept until another file is published in its place. Neither is in the way of a writer: the OLAP is replaced by a
rename, and nothing of SQLite stays open.
"""

from __future__ import annotations

import atexit
import contextlib
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from isthmus.core.errors import IsthmusError, MissingExtra

if TYPE_CHECKING:
    from isthmus.app.site import Site
    from isthmus.loop.rules.bind import BoundRule
    from isthmus.loop.rules.catalogue import Catalogue
    from isthmus.warehouse.query import Reading

Stamp = tuple[tuple[str, int, int, int], ...]
_KEPT_SITES = 8
_KEPT_READERS = 2
_IDLE_S = 60.0
MEMORY_LIMIT = "256MB"
"""What a reader may hold in memory: counts, sorts and pages of a table of simple fields."""


class _Known:
    """What was read of sites and is the same until their files change."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sites: OrderedDict[Path, tuple[Stamp, Any, Any]] = OrderedDict()

    def site(self, toml: Path) -> Site:
        """Return a site of its own for one view. Raises ConfigError, InputError."""
        from isthmus.app.site import Site

        with self._lock:
            known = self._sites.get(toml)
        if known is None or known[0] != _stamp([toml, *(Path(one[0]) for one in known[0][1:])]):
            stamp = _stamp([toml])  # of before it is read: a change meanwhile is seen next time
            site = Site.open(toml)
            stamp += _stamp([site.config.folder / file for file in site.config.rules.files])
            known = stamp, site.config, site.catalogue
            with self._lock:
                self._sites[toml] = known
                self._sites.move_to_end(toml)
                while len(self._sites) > _KEPT_SITES:
                    self._sites.popitem(last=False)
        made = Site(known[1])
        made.__dict__["catalogue"] = known[2]  # the place of the cached property
        return made


class _Readers:
    """Readers of OLAP files that nobody uses now, each of the file as it was when it was opened.

    What a reader holds in memory is let go with it a minute after it was last used.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[tuple[Stamp, Reading, float]] = []
        self._waking = False

    @contextlib.contextmanager
    def lend(self, path: Path) -> Iterator[Reading]:
        """Lend a reader of the file as it is now. Raises InputError where there is none, Corrupt."""
        from isthmus.warehouse.query import Reading

        stamp = _stamp([path])
        reading = self._taken(stamp) or Reading(path, MEMORY_LIMIT)
        try:
            yield reading
        except IsthmusError:  # what was asked was wrong, and the reader is as good as before
            self._give_back(stamp, reading)
            raise
        except BaseException:
            reading.close()
            raise
        self._give_back(stamp, reading)

    def _taken(self, stamp: Stamp) -> Reading | None:
        """Take a reader of this very file; those of an earlier file at the same place are closed."""
        with self._lock:
            found = next((one for one in self._idle if one[0] == stamp), None)
            stale = [one for one in self._idle if one[0] != stamp and one[0][0][0] == stamp[0][0]]
            self._idle = [one for one in self._idle if one is not found and one not in stale]
        _close(stale)
        return found[1] if found else None

    def _give_back(self, stamp: Stamp, reading: Reading) -> None:
        with self._lock:
            self._idle.append((stamp, reading, time.monotonic()))
            over = self._idle[:-_KEPT_READERS]
            del self._idle[:-_KEPT_READERS]
            self._wake()
        _close(over)

    def _wake(self) -> None:
        """See to it that somebody looks again in a while."""
        if self._idle and not self._waking:
            self._waking = True
            timer = threading.Timer(_IDLE_S, self._let_old_go)
            timer.daemon = True
            timer.start()

    def _let_old_go(self) -> None:
        self.close(time.monotonic() - _IDLE_S / 2)

    def close(self, unused_since: float = math.inf) -> None:
        """Close those that nobody used since a moment of the monotonic clock; by default all."""
        with self._lock:
            old = [one for one in self._idle if one[2] <= unused_since]
            self._idle = [one for one in self._idle if one[2] > unused_since]
            self._waking = False
            self._wake()
        _close(old)


def _close(readers: list[tuple[Stamp, Reading, float]]) -> None:
    for _, reading, _ in readers:
        reading.close()


_KNOWN, _READERS = _Known(), _Readers()
atexit.register(_READERS.close)  # DuckDB complains of connections that the interpreter's end finds open
_BOUND: WeakKeyDictionary[Catalogue, Mapping[str, BoundRule]] = WeakKeyDictionary()


@contextlib.contextmanager
def opened(toml: Path) -> Iterator[Site]:
    """Open the site of a TOML for one view, and close its state at the end.

    Raises ConfigError with every mistake in the TOML, MissingExtra where the loop is not installed.
    """
    try:
        site = _KNOWN.site(toml)
    except ImportError as error:
        raise MissingExtra.named(f"{error.name or 'a part'}, which the loop needs,", "loop") from error
    try:
        yield site
    finally:
        if "store" in site.__dict__:
            site.store.close()


@contextlib.contextmanager
def reading(site: Site) -> Iterator[Reading]:
    """Lend a reader of the site's OLAP as it is now. Raises InputError where nothing was ingested yet."""
    with _READERS.lend(site.tables.olap.path) as lent:
        yield lent


def bound_rules(site: Site) -> Mapping[str, BoundRule]:
    """Return the site's rules with their usual parameters, by name; bound once for each catalogue."""
    found = _BOUND.get(site.catalogue)
    if found is None:
        found = {name: site.catalogue.bind(name) for name in site.catalogue.names()}
        _BOUND[site.catalogue] = found
    return found


def has_olap(site: Site) -> bool:
    """Tell whether the site has an OLAP yet."""
    return bool(site.tables.olap.path.exists())


def has_state(site: Site) -> bool:
    """Tell whether the site has a state file yet: a view makes none."""
    return (site.state_folder / "isthmus.sqlite").exists()


def let_go() -> None:
    """Close the readers that nobody uses now."""
    _READERS.close()


def _stamp(files: list[Path]) -> Stamp:
    return tuple((str(file), *_seen(file)) for file in files)


def _seen(file: Path) -> tuple[int, int, int]:
    try:
        found = file.stat()
    except OSError:
        return 0, 0, 0
    return found.st_ino, found.st_mtime_ns, found.st_size


__all__ = ["MEMORY_LIMIT", "bound_rules", "has_olap", "has_state", "let_go", "opened", "reading"]
