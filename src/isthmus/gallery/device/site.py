"""A device: enrols, synchronises, lists what it holds, and tells whom or what a photo shows."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import bson
from blake3 import blake3

from isthmus.core.errors import Corrupt, InputError
from isthmus.core.ports import Clock
from isthmus.core.progress import Progress, Report, silent
from isthmus.gallery import enrolment
from isthmus.gallery.device.matching import Matrices
from isthmus.gallery.device.models import DeviceModels, Settled
from isthmus.gallery.device.records import HeldGallery
from isthmus.gallery.device.store import DeviceStore
from isthmus.gallery.enrolment import Enrolled
from isthmus.gallery.people import Near, Persons, nearest_people
from isthmus.gallery.piece import shelved
from isthmus.gallery.publication import Published
from isthmus.gallery.record import Document
from isthmus.gallery.sync.pull import SyncReport, SyncSettings, pull
from isthmus.imaging.port import Extractor, Model, Translator
from isthmus.state.files import replacing
from isthmus.state.lock import held
from isthmus.transfer.channel import Channel
from isthmus.transfer.signing import PublicKey, SigningKey

_THUMBNAIL = 160
_SETTINGS = SyncSettings()
_ALONE = Persons()


@dataclass(frozen=True, slots=True)
class Match:
    """A record that is near a photo. `attributes` are its document without the image.

    Where records say whose they are it stands for a person: it is the nearest of theirs, and `distance` is the
    mean of the `records` nearest.
    """

    gallery: str
    id: Any
    distance: float
    threshold: float
    attributes: Document
    records: int = 1

    @property
    def known(self) -> bool:
        """Whether the distance is within the gallery's threshold."""
        return self.distance <= self.threshold


@dataclass(frozen=True, slots=True)
class Identified:
    """What a photo was found to show: the nearest records, nearest first.

    `described` is False where the extractor found nothing to describe, such as no face; `searched` names the
    galleries that were searched.
    """

    matches: tuple[Match, ...]
    described: bool
    searched: tuple[str, ...]

    @property
    def unknown(self) -> bool:
        """Whether nothing is within its threshold."""
        return not any(match.known for match in self.matches)


class DeviceSite:
    """A device in a folder. Belongs to one thread.

    `key`, 32 bytes, encrypts its store; see device.sealing. `persons` says whose a record is; see gallery.people.
    """

    def __init__(
        self,
        folder: Path,
        clock: Clock,
        key: bytes | None = None,
        step: Callable[[str], None] = lambda name: None,
        persons: Persons = _ALONE,
    ) -> None:
        self._folder = folder
        self.store = DeviceStore(folder, clock, key, step)
        self.models = DeviceModels(self.store, clock, step)
        self._matrices = Matrices(self.store, persons)

    def close(self) -> None:
        """Close the store and the matrices."""
        self._matrices.close()
        self.store.close()

    def __enter__(self) -> DeviceSite:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- enrolment ----------------------------------------------------------------------------------------------

    @property
    def key(self) -> SigningKey:
        """The device's key pair, made when it is first asked for; `device.pem`, for its owner alone."""
        path = self._folder / "device.pem"
        if not path.exists():
            SigningKey.create().save(path)
        return SigningKey.load(path)

    def enrolment_request(self, token: str) -> bytes:
        """Return the body to be posted to the server. Raises InputError where the device is enrolled already."""
        if self._enrolment.exists():
            raise InputError(f"the device is enrolled as {self.enrolled().device}", "use another folder")
        return enrolment.request(token, self.key)

    def take_enrolment(self, body: bytes, url: str) -> Enrolled:
        """Keep what the server at `url` answered. Raises Refused."""
        found = enrolment.of_answer(body)
        told = {"device": found.device, "server": str(found.server), "url": url}
        with replacing(self._enrolment) as file:
            file.write(json.dumps(told, indent=2).encode() + b"\n")
        return found

    def enrolled(self) -> Enrolled:
        """Return the device's name and the server's key. Raises InputError where it is not enrolled."""
        told = self._told()
        return Enrolled(told["device"], PublicKey.of_text(told["server"]))

    @property
    def url(self) -> str:
        """Where the device was enrolled. Raises InputError where it is not."""
        return self._told()["url"]

    @property
    def _enrolment(self) -> Path:
        return self._folder / "enrolment.json"

    def _told(self) -> dict[str, str]:
        try:
            told: dict[str, str] = json.loads(self._enrolment.read_text())
        except FileNotFoundError as error:
            raise InputError("the device is not enrolled", "isthmus device enrol <url> <token>") from error
        except ValueError as error:
            raise Corrupt(f"{self._enrolment} cannot be read", "enrol the device anew") from error
        return told

    # --- galleries ----------------------------------------------------------------------------------------------

    async def sync(
        self, channel: Channel, report: Report = silent, settings: SyncSettings = _SETTINGS
    ) -> SyncReport:
        """Bring all galleries up to date over a channel to the server.

        Raises Busy where another process does so, ChannelClosed where the channel ends early (what came is kept),
        Refused, Corrupt, Diverged; see sync.pull.
        """
        with held(self._folder / "sync.lock", "a synchronisation"):
            try:
                return await pull(channel, self.store, report, settings)
            finally:
                self._matrices.tidy()

    def settle_models(self, again: str = "") -> Sequence[Settled]:
        """Make the versions of models active that are to be; see device.models. Raises Busy during a session.

        `again` names a model of which nothing is passed over any more.
        """
        with held(self._folder / "sync.lock", "a synchronisation"):
            return self.models.again(again) if again else self.models.settle()

    def roll_back_model(self, name: str) -> Published:
        """Go back to an earlier version of a model; see device.models. Raises Busy during a synchronisation."""
        with held(self._folder / "sync.lock", "a synchronisation"):
            return self.models.roll_back(name)

    def list(self) -> Sequence[HeldGallery]:
        """List the galleries that the device holds."""
        return self.store.galleries()

    def extract(self, extractor: Extractor, report: Report = silent) -> int:
        """Make vectors of the images that came without one, to search in them; returns how many were made."""
        from isthmus.imaging.decode import ImageRefused, pixels

        made = 0
        for found in self.store.galleries():
            if shelved(found.gallery) is not None:
                continue
            for place, item in self.store.without_vector(found.gallery, extractor.model.name):
                if item.image is None:
                    continue
                try:
                    vector = extractor.extract(pixels(self.store.contents.read(item.image)))
                except ImageRefused:
                    vector = None
                made += self.store.put_vector(found.gallery, place, extractor.model, vector)
                report(Progress(f"extract {found.gallery}", made, found.records, "images"))
        return made

    def identify(
        self, photo: bytes, extractor: Extractor, galleries: Sequence[str] | None = None, most: int = 5
    ) -> Identified:
        """Find the records nearest to a photo, in the given galleries or all; the act goes into the audit log.

        Where records say whose they are, the nearest people. Vectors of a kin of the extractor's model will do.

        Raises ImageRefused where the photo cannot be decoded, UnknownName for a gallery that is not held,
        InputError where no gallery has vectors of the extractor's model.
        """
        from isthmus.imaging.decode import pixels

        probe = extractor.extract(pixels(photo))
        names = [found.gallery for found in self.store.galleries()] if galleries is None else list(galleries)
        matches: list[Match] = []
        searched = []
        for name in names:
            model = _shared(self.store.models(name), extractor)
            if model is None:
                continue
            searched.append(name)
            if probe is not None:
                matches += self._near(name, model, _as(probe, extractor, model), most)
        if not searched:
            raise InputError(
                f"no gallery here has vectors of {extractor.model.name}",
                "synchronise, or make them of the images with: isthmus device extract",
            )
        matches.sort(key=lambda match: match.distance)
        result = Identified(tuple(matches[:most]), probe is not None, tuple(searched))
        self._note(result, photo, extractor.model.name)
        return result

    def thumbnail(self, gallery: str, id: Any) -> bytes:
        """Return a small JPEG of a record's image, made when first asked for. Raises InputError."""
        item = self.store.item(gallery, self.store.place(gallery, bson.encode({"_id": id})))
        if item is None or item.image is None:
            raise InputError(f"{gallery} has no image of {id!r} here", "list what the device holds")
        return self.store.contents.thumbnail(item.image, _thumbnail)

    def _near(self, gallery: str, model: Model, probe: bytes, most: int) -> Iterator[Match]:
        matrix, people = self._matrices.of(gallery, model), self._matrices.people(gallery, model)
        if people is None:
            near = [Near(one.distance, one.key) for one in matrix.search(probe, most)]
        else:
            near = nearest_people(
                partial(matrix.search, probe), partial(matrix.apart, probe), people.mates, most, model.threshold
            )
        for one in near:
            item = self.store.item(gallery, one.key)
            if item is not None:
                attributes = bson.decode(self.store.attributes(item))
                id = bson.decode(item.key)["_id"]
                yield Match(gallery, id, one.distance, model.threshold, attributes, one.records)

    def _note(self, result: Identified, photo: bytes, model: str) -> None:
        first = result.matches[0] if result.matches else None
        detail = f"photo {blake3(photo).hexdigest(8)} by {model}"
        if first is not None and not result.unknown:
            self.store.queue.note(
                "identified", first.gallery, str(first.id), f"{detail}, distance {first.distance:.3f}"
            )
        else:
            self.store.queue.note("identified", ",".join(result.searched)[:250], "unknown", detail)


def _shared(models: Sequence[Model], extractor: Extractor) -> Model | None:
    """Return the model to compare by: the extractor's own, or else a kin of it."""
    kin = extractor.kin if isinstance(extractor, Translator) else ()
    by_name = {model.name: model for model in models}
    return next((by_name[name] for name in (extractor.model.name, *kin) if name in by_name), None)


def _as(probe: bytes, extractor: Extractor, model: Model) -> bytes:
    if model.name != extractor.model.name and isinstance(extractor, Translator):
        return extractor.translated(probe, model.name)
    return probe


def _thumbnail(content: bytes) -> bytes:
    from PIL import Image

    from isthmus.imaging.decode import pixels

    image = Image.fromarray(pixels(content))
    image.thumbnail((_THUMBNAIL, _THUMBNAIL))
    out = io.BytesIO()
    image.save(out, "JPEG", quality=80)
    return out.getvalue()
