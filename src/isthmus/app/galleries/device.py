"""A portable device, wired: its store, its enrolment over HTTPS, its synchronisation over ICE."""

from __future__ import annotations

import asyncio
import http.client
import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from isthmus.app.clock import SystemClock
from isthmus.app.galleries.config import DevicePart, GalleryConfig, read_gallery_config
from isthmus.app.secrets import secret_of
from isthmus.core.errors import InputError, IsthmusError, Refused
from isthmus.core.progress import Report, silent
from isthmus.gallery.device.models import Settled
from isthmus.gallery.device.sealing import key_from_environment, key_from_file
from isthmus.gallery.device.site import DeviceSite
from isthmus.gallery.enrolment import MOST_BODY_BYTES, Enrolled
from isthmus.gallery.people import Persons
from isthmus.gallery.sync.pull import SyncReport
from isthmus.imaging.extractors import load
from isthmus.imaging.port import Extractor
from isthmus.transfer.ice.settings import is_loopback

_TIMEOUT_S = 30.0


class Unreachable(IsthmusError):
    """The sync server does not answer just now."""

    retryable = True


class Portable:
    """A device as its commands use it. Belongs to one thread."""

    def __init__(self, config: GalleryConfig, report: Report = silent) -> None:
        self.config, self.report = config, report
        self.settled: Sequence[Settled] = ()
        """What the last synchronisation changed of the models."""
        self.part: DevicePart = config.need("device")
        persons = Persons(self.part.person, self.part.person_by_folder)
        self.site = DeviceSite(config.place(self.part.folder), SystemClock(), self._store_key(), persons=persons)

    @classmethod
    def open(cls, path: Path, report: Report = silent) -> Portable:
        """Open the device whose TOML is at `path`. Raises Refused where its store needs a key or another one."""
        return cls(read_gallery_config(path), report)

    def enrol(self, url: str, token: str) -> Enrolled:
        """Register the device's key at the server at `url`.

        Raises Refused where the server refuses, Unreachable, InputError for a URL that is no server's.
        """
        parts = urlsplit(url)
        if parts.scheme not in ("https", "http") or not parts.hostname or parts.query or parts.username:
            raise InputError(f"{url!r} is no address of a sync server", "it is written https://host:port")
        if parts.scheme == "http" and not is_loopback(url):
            raise InputError(f"{url!r} is not encrypted", "take https:// for every host but this one")
        base = urlunsplit((parts.scheme, parts.netloc, parts.path.rstrip("/"), "", ""))
        answer = self._post(f"{base}/v1/devices/enrol", self.site.enrolment_request(token))
        return self.site.take_enrolment(answer, base)

    def sync(self) -> SyncReport:
        """Bring the galleries up to date. Raises what connecting and synchronising raise."""
        return asyncio.run(self._sync())

    async def _sync(self) -> SyncReport:
        from isthmus.transfer.ice.losses import expect_losses
        from isthmus.transfer.ice.signalling import connect

        expect_losses(asyncio.get_running_loop())
        enrolled, base = self.site.enrolled(), self.site.url
        url = "ws" + base.removeprefix("http") + "/v1/signal"  # http becomes ws, https becomes wss
        channel = await connect(url, enrolled.device, self.site.key, enrolled.server, self.config.ice)
        done = await self.site.sync(channel, self.report)
        self.settled = self.site.settle_models()
        return done

    def extractor(self) -> Extractor:
        """Return what makes vectors of probes. Raises UnknownName, MissingExtra."""
        if self.part.model:
            return self.site.models.extractor(self.part.model)
        return load(self.part.extractor)

    def _store_key(self) -> bytes | None:
        file, variable = self.part.store_key_file, self.part.store_key_env
        if file:
            return key_from_file(Path(file))
        return key_from_environment(variable) if variable else None

    def _post(self, url: str, body: bytes) -> bytes:
        secure = None
        if url.startswith("https:"):
            secure = ssl.create_default_context(cafile=self.config.ice.authorities or None)
        request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
        handlers = [urllib.request.HTTPSHandler(context=secure)] if secure else []
        if is_loopback(url):
            handlers.append(urllib.request.ProxyHandler({}))  # type: ignore[arg-type]
        try:
            with urllib.request.build_opener(*handlers).open(request, timeout=_TIMEOUT_S) as answer:
                content: bytes = answer.read(MOST_BODY_BYTES + 1)
        except urllib.error.HTTPError as error:
            with error:
                why = error.read(MOST_BODY_BYTES).decode(errors="replace")
            raise Refused(f"the server at {url} refuses: {_title(why) or error.reason}") from error
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            raise Unreachable(f"{url} does not answer: {reason}", "check the address and the network") from error
        return content


def _title(problem: str) -> str:
    try:
        told = json.loads(problem)
    except ValueError:
        return ""
    if not isinstance(told, dict):
        return ""
    return "; ".join(str(told[key]) for key in ("title", "detail") if told.get(key))


def token_of(file: Path | None, variable: str | None) -> str:
    """Read an invitation's token from a file or an environment variable. Raises InputError."""
    if (file is None) == (variable is None):
        raise InputError(
            "say where the token is",
            "give --token-file or --token-env: a token on the command line shows in lists",
        )
    text = secret_of(file, variable)
    if not text:
        raise InputError(f"{file or variable} holds no token", "put there what isthmus device invite printed")
    return text
