"""Images at the server that are damaged or gone: found when devices ask, named until they are whole."""

from __future__ import annotations

from dataclasses import dataclass

from isthmus.gallery.ports import Set

MOST = 100
"""So many are remembered: where a whole disk is lost, its first images tell."""


@dataclass(frozen=True, slots=True)
class Damage:
    """Where an image should lie and does not, or not whole, and the gallery in which a device asked for it."""

    gallery: str
    place: str

    def __str__(self) -> str:
        return f"the image {self.place} is damaged or gone: devices do not get its records in {self.gallery}"


class Damages:
    """Remembers what was found since the server was started."""

    def __init__(self, galleries: Set) -> None:
        self._set = galleries
        self._found: dict[bytes, tuple[Damage, object]] = {}

    def found(self, digest: bytes, gallery: str) -> bool:
        """Remember a damaged image; False where it was removed meanwhile, and so is needed by nobody."""
        image = self._set.image(digest)
        if image is None:
            return False
        if digest in self._found or len(self._found) < MOST:
            self._found[digest] = Damage(gallery, str(image)), image.mark()
        return True

    def whole(self, digest: bytes) -> None:
        """Forget an image that was found to be whole."""
        self._found.pop(digest, None)

    def standing(self) -> list[Damage]:
        """List what was not removed, nor changed where it lies, since it was found."""
        for digest, (_, mark) in list(self._found.items()):
            image = self._set.image(digest)
            if image is None or image.mark() != mark:
                del self._found[digest]
        return [damage for damage, _ in self._found.values()]
