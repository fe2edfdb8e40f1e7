"""One site of a pair, wired: its rounds, its landing, what carries files both ways, and its turns."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from datetime import timedelta
from functools import cached_property
from pathlib import Path

from isthmus import __version__
from isthmus.app.clock import SystemClock
from isthmus.app.recovery.config import RecoveryConfig, read_recovery_config
from isthmus.app.secrets import secret_of
from isthmus.core.errors import InputError
from isthmus.core.ports import Carrier, Clock
from isthmus.recovery import publications
from isthmus.recovery.adoption import adopt
from isthmus.recovery.backup import Backup, BackupSettings
from isthmus.recovery.barrier import Named, TableAt
from isthmus.recovery.landing import Landing, LandingSettings
from isthmus.recovery.notes import Notes
from isthmus.recovery.pair import Ends, Pair, PairSettings
from isthmus.recovery.publications import Published
from isthmus.recovery.report import Report, ReportBox
from isthmus.recovery.shards import Shards
from isthmus.recovery.turnover import Turnover
from isthmus.recovery.windows import Rhythm
from isthmus.state.audit import Audit
from isthmus.state.lock import held
from isthmus.state.store import Store
from isthmus.transfer.gate import Gate, Step, no_step
from isthmus.transfer.inbound import Inbound, InboundSettings
from isthmus.transfer.limits import STANDARD, Limits
from isthmus.transfer.outbound import Outbound, OutboundSettings
from isthmus.transfer.signing import PublicKey, SigningKey
from isthmus.warehouse.catalog import Catalog
from isthmus.warehouse.grants import Grants
from isthmus.warehouse.place import as_uri

_MOST_INDEX_BYTES = 64 << 20
_HTTP = ("http://", "https://")


class RecoverySite:
    """The parts of a site, made when they are first used. Belongs to the thread that made it."""

    def __init__(self, config: RecoveryConfig, clock: Clock | None = None, step: Step = no_step) -> None:
        """`step` is told the name of each step that was just taken, by any part."""
        self.config, self.part, self.clock = config, config.recovery, clock or SystemClock()
        self.step = step
        self.describe: Callable[[Report], Report] = lambda report: report
        """Adds to a report what is gathered from all of the site: progress, sums."""

    @classmethod
    def open(cls, path: Path) -> RecoverySite:
        """Open the site whose TOML is at `path`."""
        return cls(read_recovery_config(path))

    @property
    def folder(self) -> Path:
        """Where rounds are staged, what waits to be sent, and what has come."""
        return self.config.state_folder

    @cached_property
    def root(self) -> str:
        """The warehouse, as a URI."""
        return as_uri(self.config.root)

    @cached_property
    def store(self) -> Store:
        """The site's SQLite file."""
        return Store(self.folder.parent / "isthmus.sqlite")

    @cached_property
    def audit(self) -> Audit:
        """The site's audit log."""
        return Audit(self.store, self.clock)

    @cached_property
    def notes(self) -> Notes:
        """What the site remembers of the pair."""
        return Notes(self.store)

    @cached_property
    def catalog(self) -> Catalog:
        """The tables."""
        return Catalog(self.root)

    @cached_property
    def grants(self) -> Grants:
        """The rights of users."""
        return Grants(self.store)

    @cached_property
    def key(self) -> SigningKey:
        """What this site signs with. Raises InputError where it is not there."""
        file = self.config.place(self.part.key)
        if not file.exists():
            raise InputError(f"there is no signing key in {file}", "make one: isthmus recovery keys")
        return SigningKey.load(file)

    @property
    def answers(self) -> bool:
        """Whether anything comes back from the other site."""
        return self.part.road != "gate"

    @property
    def lists(self) -> Path:
        """Where pub.list and fail_disaster_object.txt lie."""
        return self.config.place(self.part.lists)

    def published(self) -> list[Published]:
        """List what is published now."""
        return publications.effective(self.store, self.catalog, self.grants.of)

    def named(self) -> Named:
        """List what each publication names now."""
        return {one.name: one.objects for one in publications.publications(self.store)}

    @cached_property
    def backup(self) -> Backup:
        """What takes rounds."""
        part = self.part
        return Backup(
            self.store,
            self.catalog,
            self.folder / "backup",
            self.published,
            self.clock,
            BackupSettings(
                stream=part.stream,
                part_bytes=max(1, int(part.part_mb * 1e6)),
                local_reserve=part.reserve,
                lease_s=part.lease_hours * 3600,
                width=part.cores or os.cpu_count() or 1,
                shards=Shards(part.local_shards, part.remote_shards),
            ),
            self._stepped,
            self.named,
        )

    @cached_property
    def outbound(self) -> Outbound:
        """What sends the rounds."""
        part, carry = self.part, self.part.carry
        return Outbound(
            self.store,
            self.folder / "outbox",
            self.backup.source,
            self._carrier(part.out_place),
            self.key,
            self.config.site.name,
            self.clock,
            OutboundSettings(
                cut_bytes=1 << 62,
                cut_s=0.0,
                carousel_files=carry.carousel_files,
                carousel_s=carry.carousel_s,
                heartbeat_s=carry.heartbeat_s,
                keep_files=carry.keep_files,
                keep_s=part.keep_days * 86_400,
                parallel=part.parallel,
                level=part.compression_level,
            ),
            self._stepped,
            self.backup.source.needed,
            lambda row, what, seconds: self.backup.paces.note(row.until, what, seconds),
        )

    @cached_property
    def landing(self) -> Landing:
        """What takes rounds in."""
        return Landing(
            self.store,
            self.root,
            self.folder / "landing",
            self.clock,
            self.config.site.name,
            self._stepped,
            LandingSettings(self.part.desync),
        )

    @cached_property
    def inbound(self) -> Inbound:
        """What receives the rounds."""
        part, carry = self.part, self.part.carry
        return Inbound(
            self.store,
            self.folder / "inbox",
            self.landing,
            self._carrier(part.in_place),
            {part.stream: self._trusted()},
            self._limits(),
            self.clock,
            InboundSettings(
                gap_alarm_s=carry.gap_alarm_s,
                settle_s=carry.settle_s,
                silent_s=carry.silent_s,
                consume=carry.consume,
                stale_alarm=False,
                most_staged_bytes=int(carry.most_staged_gb * 1e9),
            ),
            step=self._stepped,
        )

    @cached_property
    def box(self) -> ReportBox:
        """What this site's reports go out by."""
        return self._box(self.part.out_place)

    @cached_property
    def post(self) -> ReportBox:
        """What the other site's reports come by."""
        return self._box(self.part.in_place)

    @cached_property
    def turnover(self) -> Turnover:
        """What changes the site's role."""
        return Turnover(
            self.root,
            self.catalog,
            self.backup,
            self.landing,
            self.inbound,
            self.notes,
            self.clock,
            self._publish,
            self.part.role or "independent",
            self._stepped,
        )

    @cached_property
    def pair(self) -> Pair:
        """The site's turns."""
        return Pair(
            Ends(self.backup, self.outbound, self.landing, self.inbound, self.box, self.post),
            self.turnover,
            self.notes,
            self.clock,
            PairSettings(
                self.config.site.name,
                self.part.stream,
                self.answers,
                self.part.rhythm(self.config.zone),
                Rhythm(timedelta(seconds=self.part.restore_s)),
            ),
            self._described,
            self.alone,
        )

    def alone(self) -> AbstractContextManager[None]:
        """Keep other processes of this site from turns and changes of its role. Raises Busy where one is at it."""
        return held(self.folder / ".turn.lock", f"a turn of the site {self.config.site.name}")

    def close(self) -> None:
        """Close the site's state."""
        self.store.close()

    def _stepped(self, name: str) -> None:
        self.step(name)

    def _described(self, report: Report) -> Report:
        """Add what only the disk and the installation tell, and what `describe` does."""
        free = None
        with suppress(OSError):
            free = shutil.disk_usage(self.folder).free
        return self.describe(replace(report, free_bytes=free or 0, version=__version__))

    def _publish(self, tables: Sequence[TableAt], named: Named | None) -> None:
        """Publish what was shown here, so that the site that takes over keeps it for the other one."""
        for table in tables:
            self.grants.replace_all(table.name, table.grants)
        published = [Published(table.name, table.distribution, table.grants) for table in tables]
        adopt(self.store, self.catalog, published, named)

    def _trusted(self) -> frozenset[PublicKey]:
        if not self.part.trust:
            raise InputError(
                f"{self.config.path}: [recovery] trusts no key",
                'add the other site\'s, as isthmus recovery keys shows it there: trust = ["ed25519:…"]',
            )
        return frozenset(map(PublicKey.of_text, self.part.trust))

    def _limits(self) -> Limits:
        return replace(STANDARD, most_member_bytes=max(STANDARD.most_member_bytes, _MOST_INDEX_BYTES))

    def _box(self, place: str) -> ReportBox:
        return ReportBox(
            self.store,
            self._carrier(place),
            self.part.stream,
            self.folder / "reports",
            self.clock,
            key=self.key,
            allowed=self._trusted(),
            step=self._stepped,
        )

    def _carrier(self, place: str) -> Carrier:
        """Return what carries files to or from a place."""
        if place.startswith(_HTTP):
            from isthmus.transfer.http import HttpCarrier
            from isthmus.transfer.line import Tls

            return HttpCarrier(place, self.token(), Tls(ca=Path(self.part.ca)) if self.part.ca else None)
        if place.startswith("s3://"):
            from isthmus.transfer.s3 import S3Carrier

            user, _, secret = self.token().partition(":")
            options = {"key": user, "secret": secret}
            return S3Carrier(place, options | ({"endpoint_url": self.part.endpoint} if self.part.endpoint else {}))
        folder = Path(place)
        folder.mkdir(parents=True, exist_ok=True)
        return Gate(folder, self._stepped)

    def token(self) -> str:
        """Return the token for the other site's door, or KEY:SECRET of the store. Raises InputError."""
        return token_of(self.part.token_file, self.part.token_env, "[recovery]")


def token_of(file: str, variable: str, where: str) -> str:
    """Read a token from a file or an environment variable. Raises InputError where neither has one."""
    try:
        text = secret_of(Path(file) if file else None, variable)
    except OSError as error:
        raise InputError(f"{where}: the token file {file} cannot be read: {error.strerror}", "make it") from error
    if not text:
        raise InputError(f"{where}: the token is empty", f"put it into {file or f'the variable {variable}'}")
    return text
