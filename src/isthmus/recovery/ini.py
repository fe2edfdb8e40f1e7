"""The classic `backupRestore.ini`: all its keys, read with every mistake at once, and written.

The keys are those of the GaussDB(DWS) tool guide, odd spellings included. The sections only part them for the
reader: a key means the same in any section or in none. An empty value, or `N/A`, is the default.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from isthmus.core.errors import ConfigError, InputError, Mistake, suggestion
from isthmus.recovery.inikeys import KEYS, Key
from isthmus.recovery.windows import Windows
from isthmus.state.files import replacing

NAME = "backupRestore.ini"
SWAPPED_NAME = "sw_backupRestore.ini"
PAIRS = (
    ("primary-env", "standby-env"),
    ("primary-host-ip", "restore-host-ip"),
    ("primary-media-destination", "restore-media-destination"),
    ("primary-metadata-destination", "restore-metadata-destination"),
    ("primary-cluster-id", "standby-cluster-id"),
)
"""What says where a site is and who it is; ports, intervals and logging belong to the role and stay."""

_NONE = ("", "n/a")
_UNITS = {"m": 60, "h": 3600, "d": 86_400}
_MOST_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Classic:
    """What a `backupRestore.ini` says, by key (see `inikeys.KEYS`). Intervals are minutes; 0: on demand alone."""

    life_cycle: str = "10d"
    backuprestoreinfo_file: str = "backuprestoreinfo.csv"
    username: str = ""
    media_type: str = "disk"
    parrallel_process: int = 2
    compression_level: int = 1
    compression_type: str = "lz4"
    log_file_count: int = 50
    check_balance_retry_times: int = 0
    desync_table_operation: str = "none"
    cpu_cores: int = 8
    local_reserve_file_count: int = 160
    primary_env: str = ""
    full_backup_exec_time_interval: int = 0
    backup_exec_time_interval: int = 5
    primary_host_ip: str = ""
    primary_media_destination: str = ""
    primary_metadata_destination: str = ""
    backup_port: int = 0
    primary_cluster_logging_level: str = "info"
    primary_cluster_id: str = ""
    standby_env: str = ""
    restore_interval: int = 1
    restore_host_ip: str = ""
    restore_media_destination: str = ""
    restore_metadata_destination: str = ""
    restore_port: int = 0
    standby_cluster_logging_level: str = "info"
    standby_cluster_id: str = ""
    new_disaster_recovery_suppressed_time_windows: str = ""

    @property
    def life_s(self) -> float:
        """The life cycle in seconds."""
        return _life(self.life_cycle)

    @property
    def windows(self) -> Windows:
        """The windows in which no round begins."""
        return Windows.parse(self.new_disaster_recovery_suppressed_time_windows)

    def get(self, key: str) -> Any:
        """Return the value of a key by its classic spelling."""
        return getattr(self, _attribute(key))

    def swapped(self) -> Classic:
        """Return the file for after a switchover: the five pairs of primary and standby change their places."""
        changed = {}
        for one, other in PAIRS:
            changed[_attribute(one)], changed[_attribute(other)] = self.get(other), self.get(one)
        return replace(self, **changed)

    def unheeded(self) -> dict[str, str]:
        """Say, by key, what of what the file sets beyond the defaults does nothing here."""
        plain = Classic()
        return {
            key.name: key.differs
            for key in KEYS
            if not key.effective and self.get(key.name) != plain.get(key.name)
        }


def generate(
    user: str = "",
    *,
    primary_env: str = "",
    standby_env: str = "",
    primary_host_ip: str = "",
    restore_host_ip: str = "",
    meta_destination: str = "",
    media_destination: str = "",
) -> Classic:
    """Fill in what `generate-config` asks for: both sites get the same destinations, all else is the default.

    Raises ConfigError where a value cannot be.
    """
    wanted = {
        "username": user,
        "primary-env": primary_env,
        "standby-env": standby_env,
        "primary-host-ip": primary_host_ip,
        "restore-host-ip": restore_host_ip,
        "primary-media-destination": media_destination,
        "restore-media-destination": media_destination,
        "primary-metadata-destination": meta_destination,
        "restore-metadata-destination": meta_destination,
    }
    for key, value in wanted.items():
        if any(ord(sign) < 32 for sign in value):
            raise ConfigError([Mistake("generate-config", None, f"{key} has a control character")])
    return read("\n".join(f"{key}={value}" for key, value in wanted.items()), "generate-config")


def load(path: Path) -> Classic:
    """Read a file. Raises InputError where it cannot be read, ConfigError with everything that is wrong in it."""
    try:
        with path.open("rb") as file:
            text = file.read(_MOST_BYTES).decode("utf-8-sig")
    except OSError as error:
        raise InputError(
            f"there is no {NAME} at {path}: {error.strerror}", "make one: isthmus recovery generate-config"
        ) from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is no UTF-8 text (byte {error.start})", "save it as UTF-8") from error
    return read(text, str(path))


def read(text: str, file: str) -> Classic:
    """Read a text; `file` names it in messages. Raises ConfigError with every mistake and its line."""
    mistakes: list[Mistake] = []
    values: dict[str, Any] = {}
    lines: dict[str, int] = {}
    known = {key.name: key for key in KEYS}
    for number, line in enumerate(text.split("\n"), 1):
        plain = line.strip()
        if not plain or plain[0] in "#;" or (plain[0] == "[" and plain[-1] == "]"):
            continue
        name, sign, raw = (part.strip() for part in plain.partition("="))
        if not sign:
            mistakes.append(Mistake(file, number, f"{plain[:60]!r} is no line of the form key=value"))
        elif name not in known:
            mistakes.append(Mistake(file, number, f"unknown key {name!r}; {suggestion(name, known)}"))
        elif name in lines:
            mistakes.append(Mistake(file, number, f"{name} stands in line {lines[name]} already"))
        else:
            lines[name] = number
            try:
                values[_attribute(name)] = _value(known[name], raw)
            except InputError as error:
                mistakes.append(Mistake(file, number, str(error)))
    classic = Classic(**values)
    if not mistakes:
        for name, what in _between(classic):
            mistakes.append(Mistake(file, lines.get(name), what))
    if mistakes:
        raise ConfigError(mistakes)
    return classic


def write(classic: Classic) -> str:
    """Write a text that `read` reads back, each key with its meaning and range."""
    parts, section = [], ""
    for key in KEYS:
        if key.section != section:
            section = key.section
            parts.append(f"[{section}]")
        here = f"{'' if key.effective else 'does nothing here: '}{key.here} ({key.range})".replace("`", "")
        parts.append(f"# {here}")
        value = str(classic.get(key.name))
        parts.append(f"{key.name}={'N/A' if key.minutes and value == '0' else value}")
    return "\n".join(parts) + "\n"


def write_pair(classic: Classic, path: Path, swapped: Path | None = None) -> Path:
    """Write the file and, beside it unless told where, the one for after a switchover; returns where that lies."""
    other = swapped or path.with_name(f"sw_{path.name}")
    for place, content in ((path, classic), (other, classic.swapped())):
        with replacing(place) as file:
            file.write(write(content).encode())
    return other


def docs_table() -> str:
    """Write all keys as a table in Markdown: range, default, what each does here, and what differs."""
    rows = ["| key | range | default | what it does here | what differs |", "|---|---|---|---|---|"]
    plain = Classic()
    for key in KEYS:
        default = str(plain.get(key.name))
        shown = f"`{'N/A' if key.minutes and default == '0' else default}`" if default else "none"
        here = key.here if key.effective else f"nothing: {key.here}"
        rows.append(f"| `{key.name}` | {key.range} | {shown} | {here} | {key.differs} |".replace("|  |", "| |"))
    return "\n".join(rows) + "\n"


def _attribute(key: str) -> str:
    return key.replace("-", "_")


def _value(key: Key, raw: str) -> Any:
    default = _DEFAULTS[_attribute(key.name)]
    if raw.lower() in _NONE:
        return 0 if key.minutes and raw else default
    if isinstance(default, int):
        if not (raw.isascii() and raw.isdigit()) or len(raw) > 9:
            raise InputError(f"{key.name} is {raw!r}; allowed: {key.range}")
        number = int(raw)
        if (number < (key.least or 0)) or (key.most is not None and number > key.most):
            raise InputError(f"{key.name} is {raw}; allowed: {key.range}")
        return number
    if key.choices:
        if raw.lower() not in key.choices:
            raise InputError(f"{key.name} is {raw!r}; allowed: {key.range}")
        return raw.lower()
    if any(ord(sign) < 32 for sign in raw):
        raise InputError(f"{key.name} has a control character")
    check = _CHECKS.get(key.name)
    if check is not None:
        check(raw)
    return raw


def _life(text: str) -> float:
    number, unit = text[:-1], text[-1:]
    if (
        unit not in _UNITS
        or not (number.isascii() and number.isdigit())
        or not 0 < len(number) < 7
        or not int(number)
    ):
        raise InputError(f"life-cycle is {text!r}; allowed: a number and m, h or d, such as 10d")
    return float(int(number) * _UNITS[unit])


def _user(text: str) -> None:
    if any(sign.isspace() or sign in ":/=" for sign in text) or text.startswith("-"):
        raise InputError(f"username is {text!r}, which no account is called")


def _file_name(text: str) -> None:
    if "/" in text or text in (".", ".."):
        raise InputError(f"backuprestoreinfo-file is {text!r}; allowed: the name of a file, without folders")


_CHECKS: Mapping[str, Callable[[str], object]] = {
    "life-cycle": _life,
    "username": _user,
    "backuprestoreinfo-file": _file_name,
    "new-disaster-recovery-suppressed-time-windows": Windows.parse,
}
_DEFAULTS: Mapping[str, Any] = {item.name: item.default for item in fields(Classic)}


def _between(classic: Classic) -> list[tuple[str, str]]:
    """Say what cannot be right between several keys: the key, and what is wrong."""
    found = []
    if classic.primary_cluster_id and classic.primary_cluster_id == classic.standby_cluster_id:
        found.append(("standby-cluster-id", "standby-cluster-id is that of the primary: two sites, two ids"))
    full, usual = classic.full_backup_exec_time_interval, classic.backup_exec_time_interval
    if full and usual and full < usual:
        found.append(
            (
                "full-backup-exec-time-interval",
                f"full-backup-exec-time-interval is {full}, less than backup-exec-time-interval, which is {usual}",
            )
        )
    return found


assert {_attribute(key.name) for key in KEYS} == {item.name for item in dataclasses.fields(Classic)}
