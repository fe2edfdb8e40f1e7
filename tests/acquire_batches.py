"""Large batches of which a part can never come: asked for, ended, mended and retried, with exact counts."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from acquire_faults import Watch, asked, events_of, judge, kinds, lines_of, picture, rss_mb
from acquire_sites import LOOPBACK, AgentSite, Hub, running
from gallery_sites import free_port
from hostile_servers import nginx

TENTHS_GONE, TENTHS_UNREACHABLE = 2, 1


@dataclass(frozen=True)
class Figures:
    """What a run took. Memory in megabytes, as it was when the batch had ended."""

    server_mb: float
    agent_mb: float


def dead_addresses_end_the_batch_and_come_only_on_demand(
    folder: Path, count: int, breaker: str, patience_s: float
) -> Figures:
    """Ask for `count` images of which three tenths lie at dead addresses, mend some, and retry.

    Of ten addresses two answer 404 and one leads to a port where nobody listens. `breaker` is TOML of the agent's
    treatment of storage servers. Everything is judged and counted on the way.
    """
    gone = [f"{number}.jpg" for number in range(count) if number % 10 < TENTHS_GONE]
    far = [f"{number}.jpg" for number in range(count) if number % 10 == TENTHS_GONE]
    near = [f"{number}.jpg" for number in range(count) if number % 10 > TENTHS_GONE]
    contents = {name: picture(int(name[:-4])) for name in (*near, *gone, *far)}
    root = folder / "store" / "root"
    root.mkdir(parents=True)
    for name in near:
        (root / name).write_bytes(contents[name])
    with nginx(folder / "store") as port:
        dead = free_port()
        hub = Hub(folder / "hub", "poll_s = 0.2\nmost_attempts = 2")
        agent = hub.environment("video", LOOPBACK.format(port=f"{port}, {dead}") + breaker)
        base = f"http://127.0.0.1:{port}"
        wishes = [*asked(base, near, "video"), *asked(base, gone, "video")]
        wishes += asked(f"http://127.0.0.1:{dead}", far, "video")
        with running(hub, agent):
            batch = hub.ask(sorted(wishes, key=lambda one: int(one["record"][:-4])))
            watch = Watch(hub.client(), batch)
            assert hub.ended(batch, patience_s) == {"done": len(near), "failed": len(gone) + len(far)}
            assert judge(hub, batch, contents, watch) == {"done": len(near), "failed": len(gone) + len(far)}
            figures = Figures(rss_mb(hub.pid), rss_mb(agent.pid))
            ends = kinds(lines_of(hub, batch))
            assert Counter(ends[name] for name in near) == {"done": len(near)}
            assert Counter(ends[name] for name in gone) == {"gone": len(gone)}
            assert {ends[name] for name in far} <= {"unreachable", "broken-off"}
            nothing_goes_on_by_itself(hub, batch)
            mended = gone[::2]
            for name in mended:
                (root / name).write_bytes(contents[name])
            only_what_failed_is_retried(hub, agent, batch, patience_s)
            counts = {"done": len(near) + len(mended), "failed": len(gone) + len(far) - len(mended)}
            failed = {line.request for line in lines_of(hub, batch) if line.wish.record in {*gone, *far}}
            assert judge(hub, batch, contents, watch, failed) == counts
            ends = kinds(lines_of(hub, batch))
            assert Counter(ends[name] for name in mended) == {"done": len(mended)}
            assert Counter(ends[name] for name in gone[1::2]) == {"gone": len(gone) - len(mended)}
            watch.stop()
    return figures


def nothing_goes_on_by_itself(hub: Hub, batch: str) -> None:
    """Prove that nothing of what failed is due at any time."""
    with hub.opened() as ledger:
        assert ledger.next_due() is None
    assert hub.client("operator").batch(batch)["ended"]


def only_what_failed_is_retried(hub: Hub, agent: AgentSite, batch: str, patience_s: float) -> None:
    """Retry, wait for the end, and prove that no image that had come was fetched again."""
    before = {line.request: (line.state.word, line.changed, line.attempts) for line in lines_of(hub, batch)}
    told = len(events_of(hub, batch))
    failed = [number for number, (word, _, _) in before.items() if word == "failed"]
    agent.kill()
    assert hub.client().steer(batch, "retry") == len(failed)
    waiting = {line.request for line in lines_of(hub, batch) if line.state.word == "queued"}
    assert waiting == set(failed)
    agent.start()
    hub.ended(batch, patience_s)
    assert len(events_of(hub, batch)) == told + len(failed)
    after = {line.request: (line.state.word, line.changed, line.attempts) for line in lines_of(hub, batch)}
    assert {number: after[number] for number in before if number not in waiting} == {
        number: before[number] for number in before if number not in waiting
    }
