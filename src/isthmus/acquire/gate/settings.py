"""How requests and results of one environment travel through gate folders."""

from __future__ import annotations

from dataclasses import dataclass

from isthmus.core.settings import setting

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class GateSettings:
    """Bounds of both sides of an environment's gate. Times in seconds, sizes in bytes."""

    most_open: int = setting("tasks on their way at most", default=4096, minimum=1, maximum=1_000_000)
    patience_s: float = setting(
        "a task without a result is given back after so long", default=21_600.0, minimum=60, unit="seconds"
    )
    most_results: int = setting(
        "results kept until the server has them", default=2048 * MIB, minimum=MIB, unit="bytes"
    )
    keep_changes: int = setting("changes kept for sending again", default=20_000, minimum=1)
    keep_bytes: int = setting(
        "bytes of changes kept for sending again", default=512 * MIB, minimum=0, unit="bytes"
    )


def task_stream(environment: str) -> str:
    """Return the name of the stream in which an environment's tasks go out."""
    return f"ask-{environment}"


def result_stream(environment: str) -> str:
    """Return the name of the stream in which an environment's results come back."""
    return f"got-{environment}"
