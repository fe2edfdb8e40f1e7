"""What `show-progress` tells: the JSON of the product, field by field, and the same as lines for people.

All from plain values: who gathers them is elsewhere. Times in the JSON are those of a zone's clock, without the
zone, as the product writes them; what there is nothing to say of is `N/A`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, Literal

State = Literal["backuping", "restoring", "stopped", "waiting", "abnormal"]
NOTHING = "N/A"
BAR = 24
_WIDEST_ERROR = 200
_VERBS = {"Backup": ("read", "packed", "sent"), "Restore": ("received", "unpacked", "shown")}


@dataclass(frozen=True, slots=True)
class Rates:
    """How fast a round goes, in bytes a second; 0 is not known.

    At the primary: reading and proving, packing, sending. At the standby: receiving and verifying, unpacking,
    showing, which is proving and placing too.
    """

    producer: float = 0.0
    compress: float = 0.0
    consumer: float = 0.0


@dataclass(frozen=True, slots=True)
class Action:
    """The latest round of one site. `done` and `total` are bytes; `unrestored` keys have come and wait.

    `ended` is None while it runs. `failed_step` is empty where nothing failed.
    """

    kind: Literal["Backup", "Restore"]
    key: str = ""
    prior: str = ""
    done: int = 0
    total: int = 0
    rates: Rates = field(default_factory=Rates)
    step: str = ""
    unrestored: tuple[str, ...] = ()
    failed_step: str = ""
    error: str = ""
    error_code: str = ""
    started: datetime | None = None
    ended: datetime | None = None
    updated: datetime | None = None

    @property
    def fraction(self) -> float:
        """The part that is done, 0 to 1. A round that ended well is done, also one without bytes."""
        if self.ended is not None and not self.failed_step:
            return 1.0
        return min(1.0, max(0, self.done) / self.total) if self.total > 0 else 0.0

    def to_plain(self) -> dict[str, Any]:
        """Write the action as plain JSON values, for a report to the other site."""
        return {
            "kind": self.kind,
            "key": self.key,
            "prior": self.prior,
            "bytes": [self.done, self.total],
            "rates": [self.rates.producer, self.rates.compress, self.rates.consumer],
            "step": self.step,
            "unrestored": list(self.unrestored),
            "failed": [self.failed_step, self.error, self.error_code],
            "times": [_iso(moment) for moment in (self.started, self.ended, self.updated)],
        }

    @classmethod
    def of_plain(cls, value: Mapping[str, Any]) -> Action:
        """Read what `to_plain` writes. Raises ValueError on anything else."""
        try:
            kind = value["kind"]
            if kind not in ("Backup", "Restore"):
                raise ValueError(f"{kind!r} is no action")
            done, total = map(int, value["bytes"])
            producer, compress, consumer = map(float, value["rates"])
            step, error, code = map(str, value["failed"])
            started, ended, updated = (
                datetime.fromisoformat(text).astimezone(UTC) if text else None for text in value["times"]
            )
            return cls(
                kind,
                str(value["key"]),
                str(value["prior"]),
                done,
                total,
                Rates(producer, compress, consumer),
                str(value["step"]),
                tuple(map(str, value["unrestored"])),
                step,
                error,
                code,
                started,
                ended,
                updated,
            )
        except (KeyError, TypeError, AttributeError, OverflowError) as error:
            raise ValueError(f"no action of a round: {error!r}") from error


@dataclass(frozen=True, slots=True)
class Applied:
    """How backup and restore stand, and when each last succeeded."""

    backup: State = "waiting"
    restore: State = "waiting"
    backup_success: datetime | None = None
    restore_success: datetime | None = None


@dataclass(frozen=True, slots=True)
class Picture:
    """Everything that is shown, as known at `now`.

    `barrier` is the moment of the latest barrier that the primary took; `shown` that of the one which the standby
    shows: to it a failover would lead.
    """

    now: datetime
    primary: Action | None = None
    standby: Action | None = None
    applied: Applied = field(default_factory=Applied)
    barrier: datetime | None = None
    shown: datetime | None = None

    @property
    def behind(self) -> timedelta | None:
        """How much would be lost by a failover now; None where nothing was restored yet."""
        return None if self.shown is None else max(timedelta(), self.now - self.shown)


def state_of(
    action: Action | None, now: datetime, *, stopped: bool = False, silent_s: float = 0.0, known: bool = True
) -> State:
    """Say how one side stands.

    It is abnormal where its last round failed, where nothing was heard of it for `silent_s` seconds (0: for ever),
    or where it is not known at all; stopped where it was told to stop and runs no more.
    """
    running = action is not None and action.started is not None and action.ended is None
    if not known or (action is not None and action.failed_step):
        return "abnormal"
    if silent_s and action is not None and action.updated and now - action.updated > timedelta(seconds=silent_s):
        return "stopped" if stopped else "abnormal"
    if running and action is not None:
        return "backuping" if action.kind == "Backup" else "restoring"
    return "stopped" if stopped else "waiting"


def to_json(picture: Picture, zone: tzinfo = UTC) -> dict[str, Any]:
    """Write the picture as the product does."""
    behind = picture.behind
    return {
        "primary cluster": _cluster(picture.primary or Action("Backup"), zone),
        "standby cluster": _cluster(picture.standby or Action("Restore"), zone),
        "apply": {
            "backupState": picture.applied.backup,
            "restoreState": picture.applied.restore,
            "backupSuccessTime": _time(picture.applied.backup_success, zone),
            "restoreSuccessTime": _time(picture.applied.restore_success, zone),
        },
        "latestBarrierTime": _time(picture.barrier, zone),
        "recovery point objective": NOTHING if behind is None else duration(behind),
        "failover recovery point time": _time(picture.shown, zone),
    }


def lines(picture: Picture, zone: tzinfo = UTC, width: int = 100) -> list[str]:
    """Write the picture for people: a bar for each site, then what a failover would lead to; plain text."""
    applied, behind = picture.applied, picture.behind
    rows = [
        *_rows("primary", applied.backup, picture.primary, applied.backup_success, zone),
        *_rows("standby", applied.restore, picture.standby, applied.restore_success, zone),
        f"latest barrier    {_time(picture.barrier, zone)}",
    ]
    if behind is None:
        rows.append("a failover now    is not possible: nothing was restored yet")
    else:
        rows.append(f"a failover now    leads to {_time(picture.shown, zone)}, {duration(behind)} back")
    return [_cut(row, width) for row in rows]


def bar(fraction: float, width: int = BAR) -> str:
    """Draw how much is done; only what is wholly done is drawn full."""
    done = width if fraction >= 1 else min(width - 1, int(max(0.0, fraction) * width))
    return f"[{'#' * done}{'.' * (width - done)}]"


def rate(bytes_s: float) -> str:
    """Write a rate as the product does: whole and tenth megabytes a second."""
    return f"{max(0.0, bytes_s) / 1e6:.1f}MB/s"


def duration(span: timedelta) -> str:
    """Write a duration as hours, minutes and seconds: `0:01:32`."""
    seconds = int(span.total_seconds())
    return f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"


def _cluster(action: Action, zone: tzinfo) -> dict[str, Any]:
    return {
        "key": action.key or NOTHING,
        "priorKey": action.prior or NOTHING,
        "actionType": action.kind,
        "progress": f"{_percent(action.fraction):.2f}%",
        "backupRate": {
            "producerRate": rate(action.rates.producer),
            "compressRate": rate(action.rates.compress),
            "consumerRate": rate(action.rates.consumer),
        },
        "currentStep": action.step or NOTHING,
        "unrestoreKeys": ",".join(action.unrestored) or NOTHING,
        "failedStep": action.failed_step or NOTHING,
        "errorMsg": action.error,
        "errorCode": action.error_code,
        "actionStartTime": _time(action.started, zone),
        "actionEndTime": _time(action.ended, zone),
        "updateTime": _time(action.updated, zone),
    }


def _rows(who: str, state: State, action: Action | None, success: datetime | None, zone: tzinfo) -> list[str]:
    if action is None or not action.key:
        return [f"{who}  {state:<10}no round yet"]
    after = f" after {action.prior}" if action.prior else ""
    rows = [f"{who}  {state:<10}{action.key}{after}, last success {_time(success, zone)}"]
    rows.append(
        f"  {action.step or NOTHING:<10}{bar(action.fraction)} {_percent(action.fraction):6.2f}%"
        f"  {_size(action.done)} of {_size(action.total)}"
        f"  {_paces(action)}"
    )
    if action.unrestored:
        rows.append(f"  waiting to be restored: {', '.join(action.unrestored)}")
    if action.failed_step:
        code = f" ({action.error_code})" if action.error_code else ""
        rows.append(f"  failed at {action.failed_step}{code}: {_cut(action.error, _WIDEST_ERROR)}")
    return rows


def _paces(action: Action) -> str:
    paces = action.rates.producer, action.rates.compress, action.rates.consumer
    return ", ".join(f"{verb} {rate(pace)}" for verb, pace in zip(_VERBS[action.kind], paces, strict=True))


def _percent(fraction: float) -> float:
    """Round down, so that only what is wholly done is 100 %."""
    return int(fraction * 10_000) / 100


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count < 1e9 else f"{count / 1e9:.2f} GB"


def _time(moment: datetime | None, zone: tzinfo) -> str:
    return NOTHING if moment is None else f"{moment.astimezone(zone):%Y-%m-%d %H:%M:%S}"


def _iso(moment: datetime | None) -> str:
    return "" if moment is None else moment.astimezone(UTC).isoformat()


def _cut(text: str, width: int) -> str:
    """Keep what a terminal shows in one line: nothing that moves its cursor, and not more than fits."""
    plain = "".join(sign if sign.isprintable() else " " for sign in text)
    return plain if len(plain) <= width else plain[: width - 1] + "…"
