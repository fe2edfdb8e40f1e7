"""The contract of the ledger, on every driver."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from acquire_making import START, asking, at, fetch, filed, hold, settled, wish, wishes
from isthmus.acquire.failure import Failure, Kind
from isthmus.acquire.ledger_port import Ledger
from isthmus.acquire.ports import Held, Missed, Settled, Task, Which
from isthmus.acquire.states import State
from isthmus.core.errors import InputError, UnknownName

GONE = Failure(Kind.GONE, "404")
SLOW = Failure(Kind.TIMEOUT, "no answer", 3.5)


def claim(ledger: Ledger, most: int = 100, seconds: float = 0, environment: str = "public", lease_s: float = 60):  # type: ignore[no-untyped-def]
    return ledger.claim(environment, "agent", most, lease_s, at(seconds))


def kinds(ledger: Ledger) -> list[tuple[str, str]]:
    return [(event.kind, event.record) for event in ledger.events(0)]


def test_a_request_goes_from_its_wish_to_its_image(ledger: Ledger) -> None:
    asked = wish(
        "r1", tags=("night",), thumbnails=(256,), deadline=at(500), taken=at(-9), latitude=1.5, longitude=2.0
    )
    accepted = ledger.accept(asking(label="first"), [asked], at(0))
    (task,) = claim(ledger, seconds=1)
    assert (task.address, task.record, task.attempt, task.trace) == (asked.address, "r1", 1, "trace-client")
    assert task.deadline == at(500)
    (known,) = ledger.held([hold(task)])
    assert known is not None
    assert (known.state, known.ours, known.wish, known.attempts) == (State.LEASED, True, asked, 1)
    outcome = settled(task, taken=at(-10))
    assert ledger.settle([outcome], at(2)) == ["taken"]
    (event,) = ledger.events(0)
    assert (event.number, event.at, event.kind, event.batch, event.owner) == (
        1, at(2), "done", accepted.batch, "client",
    )  # fmt: skip
    assert (event.request, event.tags, event.filed) == (task.request, ("night",), outcome.filed)
    assert ledger.latest() == 1
    line = ledger.line(task.request)
    assert line is not None
    assert (line.state, line.wish, line.filed, line.changed) == (State.DONE, asked, outcome.filed, at(2))
    batch = ledger.batch(accepted.batch)
    assert (batch.counts, batch.ended, batch.label, batch.made) == ({"done": 1}, at(2), "first", at(0))
    assert ledger.filed(outcome.filed.digest) == outcome.filed
    assert [(number, line.request) for number, line in ledger.images_after(0, 10)] == [(1, task.request)]


def test_an_idempotency_key_makes_one_batch(ledger: Ledger) -> None:
    first = ledger.accept(asking(once="k", body="b1"), wishes(3), at(0))
    again = ledger.accept(asking(once="k", body="b1"), wishes(3), at(1))
    assert (again.batch, again.requests, again.again) == (first.batch, 3, True)
    assert ledger.accept(asking("other", once="k", body="b2"), wishes(1), at(1)).batch != first.batch
    with pytest.raises(InputError, match="used for something else"):
        ledger.accept(asking(once="k", body="b2"), wishes(3), at(2))
    assert len(claim(ledger)) == 4


def test_an_empty_batch_is_refused(ledger: Ledger) -> None:
    with pytest.raises(InputError, match="at least one"):
        ledger.accept(asking(), [], at(0))


def test_no_request_is_leased_twice_by_many_at_once(ledger: Ledger) -> None:
    ledger.accept(asking(), wishes(200), at(0))

    def work(agent: int) -> list[int]:
        got: list[int] = []
        while tasks := ledger.claim("public", f"a{agent}", 7, 60, at(1)):
            got += [task.request for task in tasks]
        return got

    with ThreadPoolExecutor(6) as pool:
        each = list(pool.map(work, range(6)))
    everything = [number for one in each for number in one]
    assert len(everything) == 200 == len(set(everything))


def test_higher_priority_goes_first_and_environments_do_not_touch(ledger: Ledger) -> None:
    ledger.accept(asking(), [wish("low"), wish("high", priority=9), wish("far", "intranet")], at(0))
    assert [task.record for task in claim(ledger)] == ["high", "low"]
    assert [task.record for task in claim(ledger, environment="intranet")] == ["far"]


def test_a_small_batch_takes_turns_with_a_large_one(ledger: Ledger) -> None:
    ledger.accept(asking(), wishes(100, "large"), at(0))
    claim(ledger, 20)
    ledger.accept(asking(), wishes(5, "small"), at(1))
    order = [task.record[0] for task in claim(ledger, 12)]
    assert order.count("s") == 5
    assert "lll" not in "".join(order[:9])


def test_what_failed_before_does_not_push_in_front_of_other_batches(ledger: Ledger) -> None:
    ledger.accept(asking(), wishes(30, "first"), at(0))
    tasks = claim(ledger, 20)
    ledger.settle([Missed(task.request, task.fence, SLOW, 10) for task in tasks], at(1))
    ledger.accept(asking(), wishes(5, "other"), at(2))
    assert ledger.sweep(at(20), 5)["due"] == 20
    assert [task.record[0] for task in claim(ledger, 10, seconds=21)].count("o") == 5


def test_only_the_newest_fence_is_listened_to(ledger: Ledger) -> None:
    ledger.accept(asking(), wishes(1), at(0))
    (old,) = claim(ledger)
    assert ledger.sweep(at(61), 5) == {"due": 0, "lost": 1, "failed": 0, "expired": 0}
    (new,) = claim(ledger, seconds=62)
    assert (new.fence > old.fence, new.attempt) == (True, 2)
    assert ledger.settle([settled(old)], at(63)) == ["stale"]
    assert ledger.settle([Missed(old.request, old.fence, GONE, None)], at(63)) == ["stale"]
    assert ledger.beat("agent", [hold(old), hold(new)], 60, at(63)) == [hold(old)]
    assert ledger.settle([settled(new), settled(new)], at(64)) == ["taken", "again"]
    assert ledger.settle([settled(new), settled(old)], at(65)) == ["again", "stale"]
    assert kinds(ledger) == [("done", "r0")]


def test_an_image_that_comes_after_its_lease_counts_while_nobody_else_has_it(ledger: Ledger) -> None:
    ledger.accept(asking(), wishes(1), at(0))
    (task,) = claim(ledger)
    ledger.sweep(at(61), 5)
    assert ledger.settle([settled(task)], at(62)) == ["taken"]
    assert claim(ledger, seconds=63) == []


def test_a_miss_is_tried_again_when_it_is_due_or_never(ledger: Ledger) -> None:
    accepted = ledger.accept(asking(), wishes(2), at(0))
    one, two = claim(ledger)
    said = ledger.settle(
        [Missed(one.request, one.fence, SLOW, 10), Missed(two.request, two.fence, GONE, None)], at(1)
    )
    assert said == ["taken", "taken"]
    assert ledger.settle([Missed(one.request, one.fence, SLOW, 10)], at(2)) == ["again"]
    assert ledger.next_due() == at(11)
    assert kinds(ledger) == [("failed", "r1")]
    assert ledger.events(0)[0].failure == GONE
    line = ledger.line(one.request)
    assert line is not None
    assert (line.state, line.failure, line.due) == (State.WAITING, SLOW, at(11))
    batch = ledger.batch(accepted.batch)
    assert (batch.counts, batch.failures) == ({"waiting": 1, "failed": 1}, {"gone": 1})
    assert ledger.sweep(at(10.5), 5)["due"] == 0
    assert ledger.sweep(at(11), 5)["due"] == 1
    assert ledger.next_due() is None
    assert [task.attempt for task in claim(ledger, seconds=12)] == [2]
    assert ledger.settle([settled(two)], at(13)) == ["over"]


def test_what_is_given_back_is_queued_and_does_not_count_as_an_attempt(ledger: Ledger) -> None:
    ledger.accept(asking(), wishes(2), at(0))
    tasks = claim(ledger)
    assert ledger.release("stranger", [hold(task) for task in tasks], at(1)) == 0
    assert ledger.release("agent", [hold(task) for task in tasks], at(1)) == 2
    assert [(task.record, task.attempt) for task in claim(ledger)] == [("r0", 1), ("r1", 1)]


def test_heartbeats_keep_leases(ledger: Ledger) -> None:
    ledger.accept(asking(), wishes(1), at(0))
    (task,) = claim(ledger)
    assert ledger.beat("agent", [hold(task), Held(999, 1)], 60, at(50)) == [Held(999, 1)]
    assert ledger.sweep(at(100), 5)["lost"] == 0
    assert ledger.next_due() == at(110)


def test_agents_that_go_silent_again_and_again_lose_a_request(ledger: Ledger) -> None:
    ledger.accept(asking(), wishes(1), at(0))
    for turn in range(3):
        assert claim(ledger, seconds=100 * turn)
        swept = ledger.sweep(at(100 * turn + 60), 3)
    assert swept == {"due": 0, "lost": 0, "failed": 1, "expired": 0}
    (event,) = ledger.events(0)
    assert event.kind == "failed"
    assert event.failure is not None
    assert event.failure.kind is Kind.LOST


def test_deadlines_are_kept(ledger: Ledger) -> None:
    ledger.accept(asking(), [wish("soon", deadline=at(10)), wish("late", deadline=at(100))], at(0))
    assert ledger.next_due() == at(10)
    (task,) = claim(ledger, 1, lease_s=30)
    assert task.record == "soon"
    assert ledger.next_due() == at(30)
    assert ledger.sweep(at(20), 5)["expired"] == 0
    assert ledger.sweep(at(30), 5)["expired"] == 1
    assert ledger.settle([settled(task)], at(31)) == ["over"]
    assert claim(ledger, seconds=100) == []
    assert ledger.sweep(at(100), 5)["expired"] == 1
    assert kinds(ledger) == [("expired", "soon"), ("expired", "late")]


def test_a_cancelled_batch_brings_nothing_any_more(ledger: Ledger) -> None:
    accepted = ledger.accept(asking(), wishes(3), at(0))
    (task,) = claim(ledger, 1)
    fetch(ledger, 1)
    assert ledger.cancel(accepted.batch, at(2)) == 2
    assert ledger.cancel(accepted.batch, at(3)) == 0
    assert ledger.settle([settled(task), Missed(task.request, task.fence, GONE, None)], at(4)) == ["over", "over"]
    assert ledger.beat("agent", [hold(task)], 60, at(4)) == [hold(task)]
    assert kinds(ledger) == [("done", "r1"), ("cancelled", "r0"), ("cancelled", "r2")]
    assert ledger.batch(accepted.batch).ended == at(2)
    assert claim(ledger) == []


def test_a_paused_batch_is_not_leased_until_it_goes_on(ledger: Ledger) -> None:
    accepted = ledger.accept(asking(), wishes(5), at(0))
    running = claim(ledger, 3)
    assert ledger.pause(accepted.batch, at(1)) == 2
    assert ledger.batch(accepted.batch).paused
    assert ledger.settle([settled(running[0])], at(2)) == ["taken"]
    assert ledger.settle([Missed(running[1].request, running[1].fence, SLOW, 5)], at(2)) == ["taken"]
    assert ledger.release("agent", [hold(running[2])], at(2)) == 1
    assert ledger.sweep(at(1000), 5)["due"] == 0
    assert claim(ledger, seconds=1000) == []
    assert ledger.batch(accepted.batch).counts == {"paused": 4, "done": 1}
    assert ledger.settle([settled(running[2])], at(1000)) == ["taken"]
    assert ledger.resume(accepted.batch, at(1001)) == 3
    assert len(claim(ledger, seconds=1002)) == 3


def test_only_what_failed_is_tried_again(ledger: Ledger) -> None:
    accepted = ledger.accept(asking(), [*wishes(3), wish("late", deadline=at(5))], at(0))
    one, two, three, late = claim(ledger, lease_s=5)
    assert late.record == "late"
    ledger.settle([settled(one)], at(1))
    ledger.settle([Missed(task.request, task.fence, GONE, None) for task in (two, three)], at(1))
    ledger.sweep(at(6), 5)
    assert ledger.batch(accepted.batch).ended == at(6)
    assert ledger.retry(accepted.batch, [one.request, two.request], at(7)) == 1
    assert ledger.batch(accepted.batch).ended is None
    assert ledger.batch(accepted.batch).failures == {"gone": 1}
    assert ledger.retry(accepted.batch, [], at(8)) == 2
    tasks = claim(ledger, seconds=9)
    assert sorted((task.record, task.attempt, task.deadline) for task in tasks) == [
        ("late", 1, None), ("r1", 1, None), ("r2", 1, None),
    ]  # fmt: skip
    ledger.settle([settled(task) for task in tasks], at(10))
    assert ledger.batch(accepted.batch).counts == {"done": 4}
    assert ledger.batch(accepted.batch).failures == {}


def test_unknown_batches_are_told(ledger: Ledger) -> None:
    name = ledger.accept(asking(), wishes(1), at(0)).batch
    for unknown in ("", "x", "99-abc", name + "0", "1", "-", "²-3"):
        for act in (ledger.cancel, ledger.pause, ledger.resume):
            with pytest.raises(UnknownName):
                act(unknown, at(1))
        with pytest.raises(UnknownName):
            ledger.retry(unknown, [], at(1))
        with pytest.raises(UnknownName):
            ledger.batch(unknown)


def test_what_wants_the_same_image_follows_and_is_served_by_one_fetch(ledger: Ledger) -> None:
    first = ledger.accept(asking(), [wish("a", dedup="k"), wish("b", dedup="k"), wish("c")], at(0))
    second = ledger.accept(asking(), [wish("d", dedup="k")], at(1))
    other = ledger.accept(asking("other"), [wish("e", dedup="k")], at(1))
    assert (first.following, second.following, other.following) == (1, 1, 0)
    tasks = claim(ledger, seconds=2)
    assert sorted(task.record for task in tasks) == ["a", "c", "e"]
    (leader,) = [task for task in tasks if task.record == "a"]
    ledger.settle([settled(leader)], at(3))
    assert kinds(ledger) == [("done", "a"), ("done", "b"), ("done", "d")]
    assert {event.filed for event in ledger.events(0)} == {filed(leader.request)}
    late = ledger.accept(asking(), [wish("f", dedup="k")], at(4))
    assert late.following == 0
    assert kinds(ledger)[-1] == ("done", "f")
    assert ledger.batch(late.batch).ended == at(4)


def test_followers_fail_with_their_leader_and_can_be_tried_again_together(ledger: Ledger) -> None:
    batch = ledger.accept(asking(), [wish("a", dedup="k"), wish("b", dedup="k")], at(0)).batch
    (task,) = claim(ledger)
    ledger.settle([Missed(task.request, task.fence, GONE, None)], at(1))
    assert kinds(ledger) == [("failed", "a"), ("failed", "b")]
    assert ledger.batch(batch).failures == {"gone": 2}
    assert ledger.retry(batch, [], at(2)) == 2
    assert [task.record for task in fetch(ledger, seconds=3)] == ["a"]
    assert kinds(ledger)[2:] == [("done", "a"), ("done", "b")]


def test_a_follower_leads_when_its_leader_is_cancelled_or_expires(ledger: Ledger) -> None:
    first = ledger.accept(asking(), [wish("a", dedup="k", deadline=at(50))], at(0))
    second = ledger.accept(asking(), [wish("b", dedup="k", deadline=at(20))], at(1))
    third = ledger.accept(asking(), [wish("c", dedup="k"), wish("d", dedup="k")], at(2))
    assert (second.following, third.following) == (1, 2)
    ledger.cancel(first.batch, at(3))
    assert ledger.batch(second.batch).counts == {"queued": 1}
    assert ledger.batch(third.batch).counts == {"following": 2}
    assert ledger.sweep(at(20), 5)["expired"] == 1
    assert ledger.batch(third.batch).counts == {"queued": 1, "following": 1}
    assert [task.record for task in fetch(ledger, seconds=21)] == ["c"]
    assert kinds(ledger) == [("cancelled", "a"), ("expired", "b"), ("done", "c"), ("done", "d")]


def test_a_follower_of_a_paused_batch_that_comes_to_lead_is_paused(ledger: Ledger) -> None:
    first = ledger.accept(asking(), [wish("a", dedup="k")], at(0))
    second = ledger.accept(asking(), [wish("b", dedup="k")], at(1))
    ledger.pause(second.batch, at(2))
    ledger.cancel(first.batch, at(3))
    assert claim(ledger) == []
    assert ledger.batch(second.batch).counts == {"paused": 1}
    assert ledger.resume(second.batch, at(4)) == 1
    assert len(claim(ledger, seconds=5)) == 1


def one_number(ledger: Ledger) -> int:
    return ledger.lines(Which(), most=1)[0].request


def test_an_unknown_request_is_over(ledger: Ledger) -> None:
    assert ledger.held([Held(5, 1)]) == [None]
    assert ledger.line(5) is None
    assert ledger.settle([Settled(5, 1, filed(5))], at(0)) == ["over"]
    assert ledger.settle([], at(0)) == []


def test_a_fence_of_nobody_is_stale(ledger: Ledger) -> None:
    ledger.accept(asking(), wishes(1), at(0))
    number = one_number(ledger)
    (known,) = ledger.held([Held(number, 0)])
    assert known is not None
    assert not known.ours
    assert ledger.settle([Settled(number, 0, filed(number))], at(1)) == ["stale"]


def test_times_come_back_as_they_were(ledger: Ledger) -> None:
    odd = START + timedelta(microseconds=123_457)
    name = ledger.accept(asking(), wishes(1), odd).batch
    assert ledger.batch(name).made == odd


def test_watchers_read_events_in_order_while_many_settle(ledger: Ledger) -> None:
    ledger.accept(asking(), wishes(300), at(0))

    def work(agent: int) -> None:
        while tasks := ledger.claim("public", f"a{agent}", 5, 60, at(1)):
            ledger.settle([settled(task) for task in tasks], at(2))

    seen: list[int] = []
    with ThreadPoolExecutor(4) as pool:
        working = [pool.submit(work, agent) for agent in range(4)]
        while len(seen) < 300:
            seen += [event.number for event in ledger.events(seen[-1] if seen else 0)]
            if all(one.done() for one in working):
                seen += [event.number for event in ledger.events(seen[-1] if seen else 0)]
                break
        for one in working:
            one.result()
    assert seen == list(range(1, 301))


def _failed_beside_a_later_one(ledger: Ledger) -> tuple[str, Task, Task]:
    """One that failed, and a later one that wants the same and is leased now."""
    first = ledger.accept(asking(), [wish("a", dedup="k")], at(0)).batch
    (failed,) = claim(ledger)
    ledger.settle([Missed(failed.request, failed.fence, GONE, None)], at(1))
    ledger.accept(asking(), [wish("b", dedup="k")], at(2))
    (leased,) = claim(ledger, seconds=3)
    return first, failed, leased


def test_an_image_for_a_follower_and_one_for_its_leader_in_one_call_end_each_once(ledger: Ledger) -> None:
    first, failed, leased = _failed_beside_a_later_one(ledger)
    ledger.retry(first, [], at(4))
    assert ledger.batch(first).counts == {"following": 1}
    assert ledger.settle([settled(leased), settled(failed)], at(5)) == ["taken", "taken"]
    assert kinds(ledger) == [("failed", "a"), ("done", "b"), ("done", "a")]
    assert ledger.batch(first).counts == {"done": 1}


def test_a_retry_follows_nobody_who_is_done(ledger: Ledger) -> None:
    first, _, leased = _failed_beside_a_later_one(ledger)
    ledger.settle([settled(leased)], at(4))
    ledger.retry(first, [], at(5))
    assert [task.record for task in fetch(ledger, seconds=6)] == ["a"]
    assert ledger.batch(first).counts == {"done": 1}
