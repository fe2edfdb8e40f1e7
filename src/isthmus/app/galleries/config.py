"""The gallery's tables of a site's TOML, as frozen dataclasses. Nothing of the loop is imported for them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from isthmus.app.sitepart import SitePart, open_toml
from isthmus.core.errors import InputError
from isthmus.core.settings import setting
from isthmus.gallery.piece import DATABASE
from isthmus.imaging.anatomy import ImageLimits
from isthmus.transfer.ice.settings import IceSettings
from isthmus.transfer.signing import PublicKey

Role = Literal["inner", "outer"]


@dataclass(frozen=True, slots=True)
class GalleryPart:
    """`[gallery]`: the set of galleries that this site holds."""

    role: Role = setting("inner: set 1 is changed here; outer: set 2 follows what crosses the gate")
    stream: str = setting("name of the stream that carries the changes", default="galleries")
    database: str = setting("database of the galleries' namespaces", default="galleries")
    extractor: str = setting("what makes vectors of images (faces, phash, your own); none where empty", default="")
    model: str = setting("published model that makes the vectors, in place of extractor", default="")
    allow: tuple[str, ...] = setting("namespaces to take, as patterns such as galleries.*; empty: all", default=())
    deny: tuple[str, ...] = setting("namespaces never to take", default=())
    rename: tuple[str, ...] = setting('namespaces to rename, as "from=to"', default=())
    megapixels: float = setting("largest image", default=50.0, minimum=0.01, maximum=500, unit="megapixels")
    image_mb: float = setting("largest image file", default=20.0, minimum=0.01, maximum=500, unit="MB")
    tombstones: int = setting("removals remembered for devices", default=100_000, minimum=100)
    log_days: float = setting("how long changes are kept for receivers that are behind", default=30.0, minimum=0)
    removed_hours: float = setting(
        "how long the image of a removed record stays in the log of set 1", default=24.0, minimum=0
    )
    mongodb_file: str = setting(
        "file with the URI of the MongoDB that holds set 2 (outer role); embedded where empty",
        default="",
        path=True,
    )
    mongodb_env: str = setting("environment variable that holds that URI instead", default="")

    def __post_init__(self) -> None:
        if self.mongodb_file and self.mongodb_env:
            raise ValueError("name either mongodb_file or mongodb_env")
        if self.model and self.extractor:
            raise ValueError("name either extractor or model")
        targets = [pair.partition("=")[2].partition(".")[0] for pair in self.rename]
        if DATABASE in (self.database, *targets):
            raise ValueError(f"the database {DATABASE} is for published models: name another one")
        if self.role == "inner" and (self.mongodb_file or self.mongodb_env):
            raise ValueError(
                "set 1 is embedded: MongoDB holds set 2 alone; tail its oplog with isthmus gallery feed"
            )

    @property
    def limits(self) -> ImageLimits:
        """What an image may be at most."""
        return ImageLimits(int(self.image_mb * 1e6), int(self.megapixels * 1e6))

    def namespace(self, gallery: str) -> str:
        """Return a gallery's namespace: a bare name belongs to `database`."""
        return gallery if "." in gallery else f"{self.database}.{gallery}"


@dataclass(frozen=True, slots=True)
class GatePart:
    """`[gate]`: the folder that the gatekeeper carries files from or to, and whose signatures count."""

    folder: str = setting("the gate's folder on this side", path=True)
    format: Literal["tar", "plain"] = setting("plain where the gatekeeper lets only .bson pass", default="tar")
    key: str = setting("this side's signing key, a PEM file (the sending side)", default="", path=True)
    trust: tuple[str, ...] = setting("public keys whose bundles are taken: ed25519:…", default=())
    cut_mb: float = setting("size at which a bundle is cut", default=64.0, minimum=0.001, unit="MB")
    cut_s: float = setting("time after which what is there is cut", default=60.0, minimum=0, unit="s")
    carousel_files: int = setting("latest files that are sent again and again", default=8, minimum=0)
    carousel_s: float = setting("how often they are sent again", default=3600.0, minimum=1, unit="s")
    heartbeat_s: float = setting("how often the latest position is told", default=60.0, minimum=1, unit="s")
    snapshot_s: float = setting("how often a snapshot is sent; 0: on demand", default=0.0, minimum=0, unit="s")
    keep_files: int = setting("bundles kept to be sent again", default=256, minimum=1)
    keep_days: float = setting("how long at most: they hold what was removed since", default=7.0, minimum=0.01)
    gap_alarm_s: float = setting(
        "how long a file may be missing before an alarm", default=600.0, minimum=0, unit="s"
    )
    settle_s: float = setting("how long a part of a file may stay a part", default=120.0, minimum=0, unit="s")
    silent_s: float = setting("how long nothing may come before an alarm", default=900.0, minimum=1, unit="s")
    consume: bool = setting("remove files from the gate's folder once they are dealt with", default=True)
    poll_s: float = setting("how often the folder is looked at", default=2.0, minimum=0.05, unit="s")


@dataclass(frozen=True, slots=True)
class SyncPart:
    """`[sync]`: the server that devices connect to."""

    host: str = setting("address to listen on", default="127.0.0.1")
    port: int = setting("port to listen on; 0: any free one", default=8470, minimum=0, maximum=65535)
    key: str = setting(
        "the server's signing key, a PEM file; made at the first start", default="keys/sync.pem", path=True
    )
    tls_certificate: str = setting("certificate chain, PEM", default="", path=True)
    tls_key: str = setting("private key of the certificate, PEM", default="", path=True)
    lag_alarm: int = setting("changes behind the sender before an alarm", default=10_000, minimum=1)

    def __post_init__(self) -> None:
        if bool(self.tls_certificate) != bool(self.tls_key):
            raise ValueError("tls_certificate and tls_key go together")
        if self.host not in ("127.0.0.1", "::1", "localhost") and not self.tls_certificate:
            raise ValueError(f"host {self.host!r} is beyond loopback: set tls_certificate and tls_key first")


@dataclass(frozen=True, slots=True)
class DevicePart:
    """`[device]`: this is a portable device."""

    folder: str = setting("where the galleries lie", default="device", path=True)
    store_key_file: str = setting(
        "file with the 64 hexadecimal digits that encrypt the store", default="", path=True
    )
    store_key_env: str = setting("environment variable that holds them instead", default="")
    extractor: str = setting("what makes the vector of a probe", default="faces")
    model: str = setting("published model that makes it, in place of extractor", default="")
    person: str = setting("attribute that says whose a record is; none where empty", default="")
    person_by_folder: bool = setting("the id up to its last / says whose a record is", default=False)

    def __post_init__(self) -> None:
        if self.person and self.person_by_folder:
            raise ValueError("person and person_by_folder exclude each other")
        if self.store_key_file and self.store_key_env:
            raise ValueError("store_key_file and store_key_env exclude each other")


TABLES: dict[str, type] = {
    "gallery": GalleryPart,
    "gate": GatePart,
    "sync": SyncPart,
    "ice": IceSettings,
    "device": DevicePart,
}
"""By name of the table, the class that it is read into."""


@dataclass(frozen=True, slots=True)
class GalleryConfig:
    """What a site's TOML says about galleries."""

    path: Path
    site: SitePart
    gallery: GalleryPart | None = None
    gate: GatePart | None = None
    sync: SyncPart | None = None
    ice: IceSettings = field(default_factory=IceSettings)
    device: DevicePart | None = None

    @property
    def state_folder(self) -> Path:
        """Where the state lies."""
        return self.path.resolve().parent / self.site.state

    def place(self, path: str) -> Path:
        """Return a path of the TOML: one that is relative starts from the TOML's folder."""
        return self.path.resolve().parent / path

    def need(self, table: Literal["gallery", "gate", "sync", "device"]) -> Any:
        """Return a table. Raises InputError where the TOML lacks it."""
        part = getattr(self, table)
        if part is None:
            raise InputError(f"{self.path} has no [{table}]", f"add it; its keys: isthmus keys {table}")
        return part


def read_gallery_config(path: Path) -> GalleryConfig:
    """Read and check the gallery's tables of a site's TOML.

    Raises ConfigError with every mistake and its line, InputError where the file cannot be read.
    """
    reader = open_toml(path)
    parts: dict[str, Any] = {
        name: reader.read(cls, reader.root[name], (name,)) for name, cls in TABLES.items() if name in reader.root
    }
    gallery, gate = parts.get("gallery"), parts.get("gate")
    for pair in gallery.rename if gallery else ():
        if pair.count("=") != 1 or "." not in pair.partition("=")[0] or "." not in pair.partition("=")[2]:
            reader.mistake(("gallery", "rename"), f'rename has {pair!r}; write "database.from=database.to"')
    for text in gate.trust if gate else ():
        try:
            PublicKey.of_text(text)
        except InputError as error:
            reader.mistake(("gate", "trust"), f"trust has {_cut(text)}: {error}")
    if "sync" in parts and gallery is not None and gallery.role == "inner":
        reader.mistake(("sync",), "[sync] is for the outer site: an inner one is never connected to")
    site = reader.read(SitePart, reader.root.get("site", {}), ("site",))
    reader.finish()
    assert site is not None
    return GalleryConfig(path, site, **parts)


def _cut(text: str) -> str:
    return repr(text) if len(text) <= 40 else f"{text[:40]!r}…"
