"""`[site]`, which every site's TOML has whatever the site does, and the tables that a TOML may have at all."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from isthmus.core.errors import InputError, suggestion
from isthmus.core.settings import Reader, setting

LOOP_TABLES = ("warehouse", "extract", "rules", "source", "pipeline", "trigger")
GALLERY_TABLES = ("gallery", "gate", "sync", "ice", "device")
ACQUIRE_TABLES = ("acquire", "agent")
RECOVERY_TABLES = ("recovery",)
CONSOLE_TABLES = ("console",)
UP_TABLES = ("up",)
TABLES = (
    "site", *LOOP_TABLES, *GALLERY_TABLES, *ACQUIRE_TABLES, *RECOVERY_TABLES, *CONSOLE_TABLES, *UP_TABLES,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class SitePart:
    """`[site]`: who this is and what it may use."""

    name: str = setting("the site's name")
    workers: int = setting("worker processes of an ingest", default=2, minimum=1, maximum=256)
    timezone: str = setting("time zone of schedules and days", default="UTC")
    state: str = setting("folder of the state, staging, runs and releases", default="state")

    def __post_init__(self) -> None:
        try:
            ZoneInfo(self.timezone)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise ValueError(
                f"timezone {self.timezone!r} is not known; write one such as Europe/Berlin"
            ) from error


def open_toml(path: Path) -> Reader:
    """Begin to read a site's TOML; unknown tables are noted as mistakes.

    Raises InputError where the file cannot be read, ConfigError where it is no TOML.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(
            f"there is no site at {path}: {error.strerror}",
            "name one with --site or ISTHMUS_SITE, or make one: isthmus init FOLDER",
        ) from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is no UTF-8 text (byte {error.start})", "save it as UTF-8") from error
    reader = Reader(text, str(path), str(path.resolve().parent))
    for key in reader.root:
        if key not in TABLES:
            reader.mistake((key,), f"unknown table [{key}]; {suggestion(key, TABLES)}")
    return reader
