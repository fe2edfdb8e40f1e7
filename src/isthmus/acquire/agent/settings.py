"""What an operator may set of an agent's work."""

from __future__ import annotations

from dataclasses import dataclass

from isthmus.core.settings import setting

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """How an agent works. Times in seconds, sizes in bytes."""

    lines: int = setting("connections that deliver at the same time", default=32, minimum=1, maximum=64)
    most_held: int = setting("tasks held at most", default=4096, minimum=1, maximum=100_000)
    ahead_s: float = setting("claim ahead for so long", default=2.0, minimum=0.1, maximum=60, unit="seconds")
    wait_s: float = setting(
        "how long a claim waits at the server", default=20.0, minimum=0, maximum=60, unit="seconds"
    )
    fetch_s: float = setting("how long one image may take", default=60.0, minimum=1, maximum=3600, unit="seconds")
    gather_s: float = setting(
        "how long a result waits for others to travel with", default=0.02, minimum=0, maximum=1, unit="seconds"
    )
    stop_s: float = setting(
        "how long a stop waits for what is under way", default=10.0, minimum=0, maximum=600, unit="seconds"
    )
    most_memory: int = setting("results kept in memory", default=64 * MIB, minimum=MIB, unit="bytes")
    spool_bytes: int = setting("results kept on the disk", default=8192 * MIB, minimum=0, unit="bytes")
    spool_after_s: float = setting(
        "results go to the disk once the server is away for so long", default=2.0, minimum=0, unit="seconds"
    )
    least_pause_s: float = setting(
        "first pause when the server is away", default=0.25, minimum=0.01, unit="seconds"
    )
    most_pause_s: float = setting(
        "longest pause when the server is away", default=15.0, minimum=0.1, unit="seconds"
    )
