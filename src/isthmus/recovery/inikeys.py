"""The keys of the classic `backupRestore.ini`: range, what each does here, and what differs from the product."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

_LEVELS = ("debug", "info", "warning", "error", "fatal")


@dataclass(frozen=True, slots=True)
class Key:
    """One key. `effective` is false where it is accepted and does nothing here; `differs` then says why."""

    name: str
    section: Literal["common", "primary", "standby"]
    range: str
    here: str
    effective: bool = True
    differs: str = ""
    least: int | None = None
    most: int | None = None
    choices: tuple[str, ...] = ()
    minutes: bool = False


KEYS = (
    Key(
        "life-cycle",
        "common",
        "a number and `m`, `h` or `d`",
        "how long finished rounds are remembered, and what was sent is kept to be sent again",
        differs="`m` is minutes; a round that is not confirmed is kept longer",
    ),
    Key(
        "backuprestoreinfo-file",
        "common",
        "name of a file",
        "every round is told in this CSV file, in the folder for metadata",
        differs="a copy for people: the truth is in the site's state",
    ),
    Key(
        "username",
        "common",
        "name of an account",
        "the account that the units of `install-cron` run as",
        differs="not a user of the warehouse",
    ),
    Key(
        "media-type",
        "common",
        "`disk` or `obs`",
        "`disk`: folders on both sides; `obs`: buckets of the S3 type",
        differs="other media of the product (NBU, EISOO) are not known; HTTP and the gate are chosen in the TOML",
        choices=("disk", "obs"),
    ),
    Key(
        "parrallel-process",
        "common",
        "1 to 32",
        "how many parts of a round are packed and sent at once",
        differs="threads of one process",
        least=1,
        most=32,
    ),
    Key(
        "compression-level",
        "common",
        "0 to 9",
        "0: nothing is compressed; 1 to 9: the level of zstd",
        differs="zstd's levels, not zlib's: 3 is its usual one",
        least=0,
        most=9,
    ),
    Key(
        "compression-type",
        "common",
        "`zlib`, `lz4` or `zstd`",
        "what is compressed is compressed by zstd",
        effective=False,
        differs="bundles know zstd alone",
        choices=("zlib", "lz4", "zstd"),
    ),
    Key(
        "log-file-count",
        "common",
        "5 to 1024",
        "no log files are written",
        effective=False,
        differs="what is told goes to the standard error; the service manager keeps and rotates it",
        least=5,
        most=1024,
    ),
    Key(
        "check-balance-retry-times",
        "common",
        "0 and more",
        "a site has no nodes that change their roles",
        effective=False,
        differs="there is no balance of a cluster to wait for",
        least=0,
    ),
    Key(
        "desync-table-operation",
        "common",
        "`none`, `log-desync-table` or `drop-desync-table`",
        "what the standby does with a table that left: keep it writable, keep it and tell of it, or drop it",
        choices=("none", "log-desync-table", "drop-desync-table"),
    ),
    Key(
        "cpu-cores",
        "common",
        "1 to 1024",
        "how many threads digest files and add up checksums",
        differs="at most as many as the machine has",
        least=1,
        most=1024,
    ),
    Key(
        "local-reserve-file-count",
        "common",
        "0 and more; 0: no limit",
        "how many sealed rounds that no standby confirmed the primary keeps; beyond that the oldest go",
        differs="counts rounds, not files; a standby that needs one that went is caught up by a full round",
        least=0,
    ),
    Key(
        "new-disaster-recovery-suppressed-time-windows",
        "common",
        "`HH:MM-HH:MM`, several parted by commas; with days: `Mon-Fri HH:MM-HH:MM`",
        "no backup round begins in them",
        differs="in the site's time zone; a round that runs is not broken off",
    ),
    Key(
        "primary-env",
        "primary",
        "path of a file",
        "the crontab lines and units of the primary read it first",
        differs="nothing else needs it",
    ),
    Key(
        "full-backup-exec-time-interval",
        "primary",
        "minutes; `N/A`: on demand",
        "how often everything is stated anew",
        differs="contents that the standby holds do not travel again",
        least=0,
        minutes=True,
    ),
    Key(
        "backup-exec-time-interval",
        "primary",
        "minutes; `N/A`: on demand",
        "how often a backup round begins",
        least=0,
        minutes=True,
    ),
    Key(
        "primary-host-ip",
        "primary",
        "address or name",
        "where the primary's door is: the standby's reports go there (HTTP)",
        differs="folders and buckets need no address",
    ),
    Key(
        "primary-media-destination",
        "primary",
        "folder, or `s3://` URI",
        "where the primary puts parts of rounds",
    ),
    Key(
        "primary-metadata-destination",
        "primary",
        "folder, or `s3://` URI",
        "where the primary finds the standby's reports, and writes its lists and its CSV",
        differs="metadata of tables travels within the parts",
    ),
    Key(
        "backup-port",
        "primary",
        "1 to 65535; 0: any free one",
        "the port of the primary's door (HTTP)",
        least=0,
        most=65535,
    ),
    Key(
        "primary-cluster-logging-level",
        "primary",
        "`debug`, `info`, `warning`, `error` or `fatal`",
        "how much a site tells is chosen on the command line",
        effective=False,
        differs="`isthmus --debug` shows tracebacks",
        choices=_LEVELS,
    ),
    Key(
        "primary-cluster-id",
        "primary",
        "name of a site",
        "the name of the site that is the primary first",
        differs="in place of a UUID",
    ),
    Key(
        "standby-env",
        "standby",
        "path of a file",
        "the crontab lines and units of the standby read it first",
        differs="nothing else needs it",
    ),
    Key(
        "restore-interval",
        "standby",
        "minutes; `N/A`: on demand",
        "how often the standby looks for parts of rounds",
        least=0,
        minutes=True,
    ),
    Key(
        "restore-host-ip",
        "standby",
        "address or name",
        "where the standby's door is: parts of rounds go there (HTTP)",
        differs="folders and buckets need no address",
    ),
    Key(
        "restore-media-destination",
        "standby",
        "folder, or `s3://` URI",
        "where the standby finds parts of rounds",
    ),
    Key(
        "restore-metadata-destination",
        "standby",
        "folder, or `s3://` URI",
        "where the standby puts its reports, and writes its CSV",
        differs="metadata of tables travels within the parts",
    ),
    Key(
        "restore-port",
        "standby",
        "1 to 65535; 0: any free one",
        "the port of the standby's door (HTTP)",
        least=0,
        most=65535,
    ),
    Key(
        "standby-cluster-logging-level",
        "standby",
        "`debug`, `info`, `warning`, `error` or `fatal`",
        "how much a site tells is chosen on the command line",
        effective=False,
        differs="`isthmus --debug` shows tracebacks",
        choices=_LEVELS,
    ),
    Key(
        "standby-cluster-id",
        "standby",
        "name of a site",
        "the name of the site that is the standby first",
        differs="in place of a UUID",
    ),
)
"""All thirty, in the order in which they are written."""
