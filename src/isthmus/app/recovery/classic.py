"""What a classic `backupRestore.ini` means in the keys of `[recovery]`, for either side."""

from __future__ import annotations

from typing import Any, Literal

from isthmus.recovery.ini import Classic

Side = Literal["primary", "standby"]

DOOR_PORT = 8490
INBOX_ROAD = "in"
"""The road of a site's door that the other site brings files on."""


def overrides(classic: Classic, side: Side, road: str) -> dict[str, Any]:
    """Return the keys of `[recovery]` that the file sets, for the site that is `side` in it.

    The key `port` belongs to `[recovery.door]`. What the file leaves empty overrides nothing. The TOML's `road`
    stays where the medium is `disk`: folders, a gate and doors all have their files on a disk.
    """
    primary = side == "primary"
    kept = "folder" if road == "s3" else road
    found: dict[str, Any] = {
        "role": side,
        "peer": classic.standby_cluster_id if primary else classic.primary_cluster_id,
        "road": "s3" if classic.media_type == "obs" else kept,
        "parallel": classic.parrallel_process,
        "compression_level": classic.compression_level,
        "desync": classic.desync_table_operation,
        "cores": classic.cpu_cores,
        "reserve": classic.local_reserve_file_count,
        "keep_days": classic.life_s / 86_400,
        "csv": classic.backuprestoreinfo_file,
        "account": classic.username,
        "env": classic.primary_env if primary else classic.standby_env,
        "full_s": classic.full_backup_exec_time_interval * 60.0,
        "backup_s": classic.backup_exec_time_interval * 60.0,
        "restore_s": classic.restore_interval * 60.0,
        "windows": tuple(str(window) for window in classic.windows.windows),
        "out_place": classic.primary_media_destination if primary else classic.restore_metadata_destination,
        "in_place": classic.primary_metadata_destination if primary else classic.restore_media_destination,
        "port": classic.backup_port if primary else classic.restore_port,
    }
    host = classic.restore_host_ip if primary else classic.primary_host_ip
    port = (classic.restore_port if primary else classic.backup_port) or DOOR_PORT
    if found["road"] == "http" and host:
        shown = f"[{host}]" if ":" in host else host
        found["out_place"] = f"https://{shown}:{port}/v1/carry/{INBOX_ROAD}"
    always = ("reserve", "full_s", "backup_s", "restore_s", "compression_level", "windows")
    return {key: value for key, value in found.items() if value or key in always}
