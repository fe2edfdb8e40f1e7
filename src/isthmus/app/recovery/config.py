"""`[recovery]` of a site's TOML, as frozen dataclasses; a classic `backupRestore.ini` may override it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta, tzinfo
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo

from isthmus.app.recovery.classic import Side, overrides
from isthmus.app.sitepart import SitePart, open_toml
from isthmus.core.errors import ConfigError, InputError
from isthmus.core.settings import Reader, setting
from isthmus.recovery import ini
from isthmus.recovery.windows import Rhythm, Windows
from isthmus.transfer.signing import PublicKey

_STREAM = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
LOOPBACK = ("127.0.0.1", "::1", "localhost")
RoadKind = Literal["folder", "http", "s3", "gate"]
Desync = Literal["none", "log-desync-table", "drop-desync-table"]


@dataclass(frozen=True, slots=True)
class DoorPart:
    """`[recovery.door]`: where the other site brings and fetches files over HTTP, for places that are folders."""

    host: str = setting("address to listen on", default="127.0.0.1")
    port: int = setting("port to listen on; 0: any free one", default=8490, minimum=0, maximum=65535)
    tls_certificate: str = setting("certificate chain, PEM", default="", path=True)
    tls_key: str = setting("private key of the certificate, PEM", default="", path=True)
    token_file: str = setting("file with the token that the other site shows here", default="", path=True)
    token_env: str = setting("environment variable that holds it instead", default="")

    def __post_init__(self) -> None:
        if bool(self.tls_certificate) != bool(self.tls_key):
            raise ValueError("tls_certificate and tls_key go together")
        if self.host not in LOOPBACK and not self.tls_certificate:
            raise ValueError(f"host {self.host!r} is beyond loopback: set tls_certificate and tls_key first")
        if bool(self.token_file) == bool(self.token_env):
            raise ValueError("name either token_file or token_env")


@dataclass(frozen=True, slots=True)
class CarryPart:
    """`[recovery.carry]`: how files are repeated and waited for."""

    carousel_files: int = setting("latest files that are sent again and again", default=0, minimum=0)
    carousel_s: float = setting("how often they are sent again", default=3600.0, minimum=1, unit="s")
    heartbeat_s: float = setting("how often the latest position is told", default=60.0, minimum=1, unit="s")
    keep_files: int = setting("files kept to be sent again", default=1024, minimum=1)
    gap_alarm_s: float = setting(
        "how long a file may be missing before an alarm", default=900.0, minimum=0, unit="s"
    )
    settle_s: float = setting("how long a part of a file may stay a part", default=120.0, minimum=0, unit="s")
    silent_s: float = setting("how long nothing may come before an alarm", default=900.0, minimum=1, unit="s")
    most_staged_gb: float = setting("most that waits to be applied", default=64.0, minimum=0.001, unit="GB")
    consume: bool = setting("remove files from in_place once they are dealt with", default=True)

    def __post_init__(self) -> None:
        if self.carousel_files > self.keep_files:
            raise ValueError("carousel_files are at most keep_files")


@dataclass(frozen=True, slots=True)
class RecoveryPart:
    """`[recovery]`: this site and another keep tables of one on the other."""

    peer: str = setting("name of the other site", default="")
    role: Literal["", "primary", "standby"] = setting(
        "what this site is before it was ever told: a hint for prepare and for classic", default=""
    )
    stream: str = setting("name of the stream, the same on both sites", default="recovery")
    classic: str = setting("a backupRestore.ini that overrides these keys", default="", path=True)
    road: RoadKind = setting("what carries files between the sites; gate: nothing comes back", default="folder")
    out_place: str = setting(
        "where files for the other site go: a folder, https://… of its door, or s3://…", default="", path=True
    )
    in_place: str = setting(
        "where files of the other site come: a folder, https://… of its door, or s3://…", default="", path=True
    )
    token_file: str = setting(
        "file with the token for the other's door, or KEY:SECRET of the S3-type store", default="", path=True
    )
    token_env: str = setting("environment variable that holds it instead", default="")
    ca: str = setting(
        "certificates to believe in place of the system's, PEM (door of the other site)", default="", path=True
    )
    endpoint: str = setting("address of the S3-type store; that of AWS where empty", default="")
    key: str = setting("this site's signing key, a PEM file", default="keys/recovery.pem", path=True)
    trust: tuple[str, ...] = setting("public keys of the other site: ed25519:…", default=())
    backup_s: float = setting("how often a backup round begins; 0: on demand", default=300.0, minimum=0, unit="s")
    full_s: float = setting("how often a full one begins; 0: on demand", default=0.0, minimum=0, unit="s")
    restore_s: float = setting(
        "how often a standby looks for rounds; 0: on demand", default=10.0, minimum=0, unit="s"
    )
    windows: tuple[str, ...] = setting(
        "when no backup round begins, such as 22:00-06:00 or Sat+Sun 12:00-14:00", default=()
    )
    part_mb: float = setting("size of a part of a round", default=64.0, minimum=0.001, maximum=4096, unit="MB")
    compression_level: int = setting(
        "0: nothing is compressed; else the level of zstd", default=1, minimum=0, maximum=9
    )
    parallel: int = setting("parts that are packed and sent at once", default=2, minimum=1, maximum=32)
    cores: int = setting("threads that digest and add up; 0: all", default=0, minimum=0, maximum=1024)
    reserve: int = setting("unconfirmed rounds that a primary keeps; 0: no limit", default=160, minimum=0)
    lease_hours: float = setting(
        "how long versions stay pinned where nothing comes back", default=168.0, minimum=0, unit="hours"
    )
    keep_days: float = setting(
        "how long finished rounds are remembered, and what was sent is kept", default=10.0, minimum=0.0001
    )
    desync: Desync = setting("what a standby does with a table that is no longer published", default="none")
    local_shards: int = setting("storage shards on this side", default=1, minimum=1, maximum=4096)
    remote_shards: int = setting("storage shards on the other side", default=1, minimum=1, maximum=4096)
    lists: str = setting("folder of pub.list, fail_disaster_object.txt and the CSV", default="recovery", path=True)
    csv: str = setting("name of the CSV that tells of every round", default="backuprestoreinfo.csv")
    account: str = setting("account that the units of install-cron run as; none where empty", default="")
    env: str = setting("file of the shell that install-cron reads first", default="", path=True)
    door: DoorPart | None = setting("this site's door for the road http", default=None)
    carry: CarryPart = setting("how files are repeated and waited for", factory=CarryPart)

    @property
    def suppressed(self) -> Windows:
        """The windows in which no backup round begins."""
        return Windows.parse(", ".join(self.windows))

    def rhythm(self, zone: tzinfo) -> Rhythm:
        """When backup rounds begin; the windows are times of `zone`."""
        return Rhythm(timedelta(seconds=self.backup_s), timedelta(seconds=self.full_s), self.suppressed, zone)


TABLES: dict[str, type] = {"recovery": RecoveryPart}
"""By name of the table, the class that it is read into."""


@dataclass(frozen=True, slots=True)
class RecoveryConfig:
    """What a site's TOML says about recovery. `root` is the warehouse's folder or URI, as the loop takes it.

    `unheeded` says, by key of a classic file, what of it does nothing here.
    """

    path: Path
    site: SitePart
    recovery: RecoveryPart
    root: str
    unheeded: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def state_folder(self) -> Path:
        """Where rounds, what waits to be sent or applied, and the state of publications lie."""
        return self.path.resolve().parent / self.site.state / "recovery"

    @property
    def zone(self) -> ZoneInfo:
        """The time zone of windows, and of times that are shown."""
        return ZoneInfo(self.site.timezone)

    def place(self, path: str) -> Path:
        """Return a path of the TOML or of the classic file: a relative one starts from the TOML's folder."""
        return self.path.resolve().parent / path


def read_recovery_config(path: Path) -> RecoveryConfig:
    """Read and check the recovery table of a site's TOML, and the classic file that it names.

    Raises ConfigError with every mistake and its line, InputError where a file cannot be read or [recovery] is
    not there.
    """
    reader = open_toml(path)
    if "recovery" not in reader.root:
        reader.finish()
        raise InputError(f"{path} has no [recovery]", "add it; its keys: isthmus keys recovery")
    site = reader.read(SitePart, reader.root.get("site", {}), ("site",))
    part = reader.read(RecoveryPart, reader.root["recovery"], ("recovery",))
    unheeded: dict[str, str] = {}
    if part is not None and site is not None:
        part, unheeded = _with_classic(reader, part, site)
        for key, what in _mistakes(part, site):
            reader.mistake(("recovery", key), what)
    root = _root(reader)
    reader.finish()
    assert site is not None and part is not None
    return RecoveryConfig(path, site, part, root, unheeded)


def _with_classic(reader: Reader, part: RecoveryPart, site: SitePart) -> tuple[RecoveryPart, dict[str, str]]:
    """Let the classic file override what the TOML says; its mistakes join the TOML's."""
    if not part.classic:
        return part, {}
    try:
        classic = ini.load(Path(part.classic))
    except ConfigError as error:
        reader.mistakes.extend(error.mistakes)
        return part, {}
    except InputError as error:
        reader.mistake(("recovery", "classic"), str(error))
        return part, {}
    ids: dict[str, Side] = {classic.primary_cluster_id: "primary", classic.standby_cluster_id: "standby"}
    side = ids.get(site.name) or part.role
    if not side:
        what = f"{part.classic} names neither side {site.name!r}: set role, or its cluster ids"
        reader.mistake(("recovery", "classic"), what)
        return part, {}
    changed = overrides(classic, side, part.road)
    door = changed.pop("port", None)
    if part.door is not None and door:
        changed["door"] = dataclasses.replace(part.door, port=door)
    return dataclasses.replace(part, **changed), classic.unheeded()


def _mistakes(part: RecoveryPart, site: SitePart) -> Iterator[tuple[str, str]]:
    """Tell what cannot be right once everything is read: the key, and what is wrong."""
    if not part.peer:
        yield "peer", "[recovery] lacks the key 'peer': name of the other site"
    elif part.peer == site.name:
        yield "peer", f"peer is {part.peer!r}, as this site: give each a name of its own"
    if not _STREAM.fullmatch(part.stream):
        yield "stream", f"stream is {part.stream!r}: use a-z, 0-9, - and _, beginning with a letter or digit"
    for text in part.trust:
        try:
            PublicKey.of_text(text)
        except InputError as error:
            yield "trust", f"trust has {_cut(text)}: {error}"
    try:
        part.suppressed  # noqa: B018 - read to be judged
    except InputError as error:
        yield "windows", str(error)
    if part.full_s and part.backup_s and part.full_s < part.backup_s:
        yield "full_s", f"full_s is {part.full_s:g}, less than backup_s, which is {part.backup_s:g}"
    small, large = sorted((part.local_shards, part.remote_shards))
    if large % small:
        yield "local_shards", f"of {part.local_shards} and {part.remote_shards} shards neither is a multiple"
    if "/" in part.csv or part.csv in ("", ".", ".."):
        yield "csv", f"csv is {part.csv!r}; write the name of a file, without folders"
    yield from _road(part)


def _road(part: RecoveryPart) -> Iterator[tuple[str, str]]:
    """Tell what of the road cannot be right."""
    for key, place in (("out_place", part.out_place), ("in_place", part.in_place)):
        scheme = place.partition("://")[0] if "://" in place else "folder"
        allowed = {"folder": ("folder",), "gate": ("folder",), "s3": ("s3",)}.get(
            part.road, ("http", "https", "folder")
        )
        if not place:
            yield key, f"[recovery] lacks the key {key!r}"
        elif scheme not in allowed:
            yield key, f"{key} is {place!r}; the road {part.road} takes: {', '.join(allowed)}"
        elif part.road == "http" and scheme == "folder" and part.door is None:
            yield key, f"{key} is a folder: the other site reaches it through a door, so add [recovery.door]"
    if part.out_place and part.out_place == part.in_place:
        yield "in_place", "out_place and in_place are the same: what goes would come back"
    if part.token_file and part.token_env:
        yield "token_file", "name either token_file or token_env"
    calls = part.road == "http" and any("://" in place for place in (part.out_place, part.in_place))
    if calls and not (part.token_file or part.token_env):
        yield "token_file", "the other site's door wants a token: set token_file or token_env"
    if part.door is not None and part.road != "http":
        yield "door", f"a door is for the road http, not for {part.road}"


def _root(reader: Reader) -> str:
    """Return the warehouse's root as the loop's part has it, without importing the loop."""
    table: Any = reader.root.get("warehouse", {})
    root = table.get("root", "warehouse") if isinstance(table, dict) else "warehouse"
    if not isinstance(root, str) or not root:
        reader.mistake(("warehouse", "root"), f"root must be a text, not {root!r}")
        return ""
    return root if "://" in root else str(Path(reader.folder) / Path(root).expanduser())


def _cut(text: str) -> str:
    return repr(text) if len(text) <= 40 else f"{text[:40]!r}…"
