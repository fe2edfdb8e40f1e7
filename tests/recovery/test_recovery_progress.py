from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.recovery.progress import (
    Action,
    Applied,
    Picture,
    Rates,
    bar,
    duration,
    lines,
    rate,
    state_of,
    to_json,
)

NOW = datetime(2026, 11, 20, 12, 0, 0, tzinfo=UTC)
BACKUP = Action(
    "Backup",
    "20261120_115958",
    "20261120_115500",
    45_200_000,
    100_000_000,
    Rates(1.25e7, 5.1e6, 5e6),
    "SEND",
    started=NOW - timedelta(seconds=2),
    updated=NOW,
)
RESTORE = Action(
    "Restore",
    "20261120_115500",
    "20261120_115000",
    7,
    7,
    step="FINISH",
    unrestored=("20261120_115958",),
    started=NOW - timedelta(minutes=5),
    ended=NOW - timedelta(minutes=4),
    updated=NOW - timedelta(minutes=4),
)
PICTURE = Picture(
    NOW,
    BACKUP,
    RESTORE,
    Applied("backuping", "waiting", NOW - timedelta(minutes=5), NOW - timedelta(minutes=4)),
    NOW - timedelta(seconds=2),
    NOW - timedelta(minutes=5, seconds=3),
)


def test_the_json_is_that_of_the_product_field_by_field() -> None:
    assert json.dumps(to_json(PICTURE), indent=1) == json.dumps(
        {
            "primary cluster": {
                "key": "20261120_115958",
                "priorKey": "20261120_115500",
                "actionType": "Backup",
                "progress": "45.20%",
                "backupRate": {"producerRate": "12.5MB/s", "compressRate": "5.1MB/s", "consumerRate": "5.0MB/s"},
                "currentStep": "SEND",
                "unrestoreKeys": "N/A",
                "failedStep": "N/A",
                "errorMsg": "",
                "errorCode": "",
                "actionStartTime": "2026-11-20 11:59:58",
                "actionEndTime": "N/A",
                "updateTime": "2026-11-20 12:00:00",
            },
            "standby cluster": {
                "key": "20261120_115500",
                "priorKey": "20261120_115000",
                "actionType": "Restore",
                "progress": "100.00%",
                "backupRate": {"producerRate": "0.0MB/s", "compressRate": "0.0MB/s", "consumerRate": "0.0MB/s"},
                "currentStep": "FINISH",
                "unrestoreKeys": "20261120_115958",
                "failedStep": "N/A",
                "errorMsg": "",
                "errorCode": "",
                "actionStartTime": "2026-11-20 11:55:00",
                "actionEndTime": "2026-11-20 11:56:00",
                "updateTime": "2026-11-20 11:56:00",
            },
            "apply": {
                "backupState": "backuping",
                "restoreState": "waiting",
                "backupSuccessTime": "2026-11-20 11:55:00",
                "restoreSuccessTime": "2026-11-20 11:56:00",
            },
            "latestBarrierTime": "2026-11-20 11:59:58",
            "recovery point objective": "0:05:03",
            "failover recovery point time": "2026-11-20 11:54:57",
        },
        indent=1,
    )


def test_times_are_those_of_the_site_s_zone() -> None:
    shown = to_json(PICTURE, ZoneInfo("Europe/Berlin"))
    assert shown["latestBarrierTime"] == "2026-11-20 12:59:58"
    assert shown["recovery point objective"] == "0:05:03"


def test_before_the_first_round_every_field_is_there_and_says_so() -> None:
    shown, full = to_json(Picture(NOW)), to_json(PICTURE)
    assert list(shown) == list(full)
    for cluster in ("primary cluster", "standby cluster", "apply"):
        assert list(shown[cluster]) == list(full[cluster])
    assert shown["primary cluster"]["progress"] == "0.00%"
    assert shown["recovery point objective"] == shown["latestBarrierTime"] == "N/A"


def test_people_get_a_bar_for_each_site_and_what_a_failover_would_lead_to() -> None:
    assert lines(PICTURE, width=160) == [
        "primary  backuping 20261120_115958 after 20261120_115500, last success 2026-11-20 11:55:00",
        "  SEND      [##########..............]  45.20%  45.2 MB of 100.0 MB  read 12.5MB/s, packed 5.1MB/s, "
        "sent 5.0MB/s",
        "standby  waiting   20261120_115500 after 20261120_115000, last success 2026-11-20 11:56:00",
        "  FINISH    [########################] 100.00%  0.0 MB of 0.0 MB  received 0.0MB/s, unpacked "
        "0.0MB/s, shown 0.0MB/s",
        "  waiting to be restored: 20261120_115958",
        "latest barrier    2026-11-20 11:59:58",
        "a failover now    leads to 2026-11-20 11:54:57, 0:05:03 back",
    ]
    assert lines(Picture(NOW)) == [
        "primary  waiting   no round yet",
        "standby  waiting   no round yet",
        "latest barrier    N/A",
        "a failover now    is not possible: nothing was restored yet",
    ]


def test_an_error_is_one_line_and_moves_no_cursor() -> None:
    failed = Action(
        "Backup", "20261120_115958", error="no\x1b[2J room\nleft", failed_step="STAGE", error_code="28"
    )
    text = lines(Picture(NOW, failed, applied=Applied("abnormal")))
    assert "  failed at STAGE (28): no [2J room left" in text
    assert max(len(row) for row in lines(PICTURE, width=40)) == 40
    assert to_json(Picture(NOW, failed))["primary cluster"]["failedStep"] == "STAGE"


@pytest.mark.parametrize(
    ("action", "options", "state"),
    [
        (None, {}, "waiting"),
        (None, {"stopped": True}, "stopped"),
        (None, {"known": False}, "abnormal"),
        (BACKUP, {}, "backuping"),
        (BACKUP, {"stopped": True}, "backuping"),
        (RESTORE, {}, "waiting"),
        (RESTORE, {"stopped": True}, "stopped"),
        (RESTORE, {"silent_s": 60}, "abnormal"),
        (RESTORE, {"silent_s": 60, "stopped": True}, "stopped"),
        (RESTORE, {"silent_s": 3600}, "waiting"),
        (Action("Restore", started=NOW), {}, "restoring"),
        (Action("Restore", failed_step="VERIFY"), {"stopped": True}, "abnormal"),
    ],
)
def test_a_side_is_in_one_of_the_product_s_five_states(
    action: Action | None, options: dict[str, bool], state: str
) -> None:
    assert state_of(action, NOW, **options) == state  # type: ignore[arg-type]


MOMENTS = st.none() | st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)).map(lambda d: d.replace(tzinfo=UTC))
TEXT = st.text(max_size=12)
ACTIONS = st.builds(
    Action,
    st.sampled_from(["Backup", "Restore"]),
    TEXT,
    TEXT,
    st.integers(-5, 10**13),
    st.integers(-5, 10**13),
    st.builds(Rates, *[st.floats(0, 1e12)] * 3),
    TEXT,
    st.lists(TEXT, max_size=3).map(tuple),
    TEXT,
    TEXT,
    TEXT,
    MOMENTS,
    MOMENTS,
    MOMENTS,
)


@given(ACTIONS)
def test_an_action_is_read_from_a_report_as_it_was_written(action: Action) -> None:
    assert Action.of_plain(json.loads(json.dumps(action.to_plain()))) == action


@given(
    st.recursive(st.none() | st.integers() | TEXT, lambda v: st.lists(v) | st.dictionaries(TEXT, v), max_leaves=9)
)
def test_what_is_no_action_is_refused(value: object) -> None:
    for wrong in (value, {**BACKUP.to_plain(), "times": value}, {**BACKUP.to_plain(), "bytes": value}):
        if isinstance(value, list) and value in ([], BACKUP.to_plain()["times"]):
            continue
        try:
            Action.of_plain(wrong)  # type: ignore[arg-type]
        except ValueError:
            continue
        assert isinstance(wrong, dict)


@given(ACTIONS, ACTIONS, MOMENTS, st.integers(20, 200))
def test_any_picture_is_shown(primary: Action, standby: Action, shown: datetime | None, width: int) -> None:
    picture = Picture(NOW, primary, standby, barrier=shown, shown=shown)
    for row in lines(picture, width=width):
        assert len(row) <= width and row.isprintable()
    written = to_json(picture)
    json.dumps(written)
    assert 0 <= float(written["primary cluster"]["progress"].rstrip("%")) <= 100
    assert (written["recovery point objective"] == "N/A") == (shown is None)


@given(st.floats(0, 1), st.integers(1, 60))
def test_a_bar_is_full_only_when_all_is_done(fraction: float, width: int) -> None:
    drawn = bar(fraction, width)
    assert len(drawn) == width + 2
    assert ("." not in drawn) == (fraction >= 1)


def test_durations_and_rates_are_written_as_the_product_does() -> None:
    assert duration(timedelta(seconds=92)) == "0:01:32"
    assert duration(timedelta(days=2, seconds=1)) == "48:00:01"
    assert rate(0) == "0.0MB/s"
