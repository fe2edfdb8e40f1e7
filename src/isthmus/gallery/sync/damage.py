"""Image files at the server that are damaged or gone: found when devices ask, named until they are whole."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from isthmus.gallery.ports import Set

MOST = 100
"""So many are remembered: where a whole disk is lost, its first images tell."""

_Mark = tuple[int, int, int] | None


@dataclass(frozen=True, slots=True)
class Damage:
    """A file that does not hold the image it is named after, and the gallery in which a device asked for it."""

    gallery: str
    path: Path

    def __str__(self) -> str:
        return f"the image {self.path} is damaged or gone: devices do not get its records in {self.gallery}"


class Damages:
    """Remembers what was found since the server was started."""

    def __init__(self, galleries: Set) -> None:
        self._set = galleries
        self._found: dict[bytes, tuple[Damage, _Mark]] = {}

    def found(self, digest: bytes, gallery: str) -> bool:
        """Remember a damaged image; False where it was removed meanwhile, and so is needed by nobody."""
        path = self._set.image(digest)
        if path is None:
            return False
        if digest in self._found or len(self._found) < MOST:
            self._found[digest] = Damage(gallery, path), _mark(path)
        return True

    def whole(self, digest: bytes) -> None:
        """Forget an image that was found to be whole."""
        self._found.pop(digest, None)

    def standing(self) -> list[Damage]:
        """List what was not removed, nor its file changed, since it was found."""
        for digest, (damage, mark) in list(self._found.items()):
            if self._set.image(digest) is None or _mark(damage.path) != mark:
                del self._found[digest]
        return [damage for damage, _ in self._found.values()]


def _mark(path: Path) -> _Mark:
    # the time of change cannot be set: it tells a copy from a backup, too
    try:
        stat = path.stat()
    except FileNotFoundError:
        return None
    return stat.st_ino, stat.st_size, stat.st_ctime_ns
