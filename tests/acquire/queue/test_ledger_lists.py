"""What the ledger lists, counts, keeps and forgets, on every driver."""

from __future__ import annotations

import pytest

from acquire_making import asking, at, fetch, settled, wish, wishes
from isthmus.acquire.failure import Failure, Kind
from isthmus.acquire.ledger_port import Ledger
from isthmus.acquire.ports import Key, Missed, Which
from isthmus.acquire.states import State
from isthmus.core.errors import InputError, UnknownName

GONE = Failure(Kind.GONE, "404")
SLOW = Failure(Kind.TIMEOUT, "no answer", 3.5)


def claim(ledger: Ledger, most: int = 100, seconds: float = 0, environment: str = "public", lease_s: float = 60):  # type: ignore[no-untyped-def]
    return ledger.claim(environment, "agent", most, lease_s, at(seconds))


def kinds(ledger: Ledger) -> list[tuple[str, str]]:
    return [(event.kind, event.record) for event in ledger.events(0)]


def test_batches_are_listed_newest_first(ledger: Ledger) -> None:
    made = [ledger.accept(asking(owner), wishes(2), at(second)).batch for second, owner in enumerate("aba")]
    assert [batch.batch for batch in ledger.batches()] == made[::-1]
    assert [batch.batch for batch in ledger.batches("a")] == [made[2], made[0]]
    assert [batch.batch for batch in ledger.batches(after=made[2], most=1)] == [made[1]]


def test_lists_restrict_by_everything_that_is_asked(ledger: Ledger) -> None:
    one = ledger.accept(
        asking("a"), [wish("x", tags=("night", "wet")), wish("y", "intranet", tags=("nigh",))], at(0)
    )
    two = ledger.accept(asking("b"), [wish("z"), wish("w")], at(1))
    tasks = {task.record: task for task in claim(ledger)}
    done = settled(tasks["x"], place="kiel", taken=at(-100))
    failed = Missed(tasks["z"].request, tasks["z"].fence, GONE, None)
    ledger.settle([done, failed], at(2))

    def records(**which: object) -> list[str]:
        return [line.wish.record for line in ledger.lines(Which(**which))]  # type: ignore[arg-type]

    assert records() == ["x", "y", "z", "w"]
    assert records(owner="a") == ["x", "y"]
    assert records(batch=two.batch) == ["z", "w"]
    assert records(batch=two.batch, owner="a") == []
    assert records(environment="intranet") == ["y"]
    assert records(states=(State.DONE, State.FAILED)) == ["x", "z"]
    assert records(states=(State.FAILED,), kind="gone") == ["z"]
    assert records(kind="timeout") == []
    assert records(place="kiel") == ["x"]
    assert records(tag="night") == ["x"]
    assert records(taken_from=at(-100), taken_until=at(-99)) == ["x"]
    assert records(taken_from=at(-99)) == []
    assert records(owner="a", batch=one.batch, states=(State.QUEUED,), environment="intranet", tag="nigh") == ["y"]
    newest = ledger.lines(Which(owner="b"), newest=True, most=1)
    assert [line.wish.record for line in newest] == ["w"]
    assert [line.wish.record for line in ledger.lines(Which(), newest[0].request, newest=True)] == ["z", "y", "x"]
    assert [line.wish.record for line in ledger.lines(Which(owner="a"), one_number(ledger))] == ["y"]
    with pytest.raises(UnknownName):
        records(batch="7-nothing")


def one_number(ledger: Ledger) -> int:
    return ledger.lines(Which(), most=1)[0].request


def test_events_restrict_to_an_owner_or_a_batch(ledger: Ledger) -> None:
    one = ledger.accept(asking("a"), wishes(2, "a"), at(0))
    ledger.accept(asking("b"), wishes(2, "b"), at(0))
    fetch(ledger)
    assert [event.number for event in ledger.events(0)] == [1, 2, 3, 4]
    assert {event.owner for event in ledger.events(0, owner="b")} == {"b"}
    assert {event.batch for event in ledger.events(0, batch=one.batch)} == {one.batch}
    assert [event.number for event in ledger.events(2, most=1)] == [3]
    assert ledger.events(4) == []


def test_depths_tell_what_is_live_and_how_old(ledger: Ledger) -> None:
    assert ledger.depths(at(0)) == []
    ledger.accept(asking(), wishes(3), at(0))
    ledger.accept(asking(), [wish("far", "intranet")], at(5))
    claim(ledger, 1)
    intranet, public = ledger.depths(at(10))
    assert (intranet.environment, intranet.counts, intranet.oldest_s) == ("intranet", {"queued": 1}, 5.0)
    assert (public.environment, public.counts, public.oldest_s) == ("public", {"queued": 2, "leased": 1}, 10.0)
    fetch(ledger)
    assert ledger.depths(at(10))[1].oldest_s == 0.0


def test_contents_are_removable_when_nobody_has_them(ledger: Ledger) -> None:
    ledger.accept(asking(), [wish("a", dedup="k"), wish("b", dedup="k"), *wishes(3)], at(0))
    tasks = claim(ledger)
    for second, task in enumerate(tasks, 1):  # the last two have the same content
        ledger.settle([settled(task, content=min(3, second))], at(second))
    by_age = ledger.removable(at(2), None, 100)
    assert [line.wish.record for line in by_age] == ["a", "b"]
    assert ledger.removable(at(2), None, 1) == by_age[:1]
    # 3 contents of 1000 bytes: the first frees one of them, the second another
    assert [line.wish.record for line in ledger.removable(None, 3000, 100)] == []
    assert [line.wish.record for line in ledger.removable(None, 2999, 100)] == ["a", "b"]
    assert [line.wish.record for line in ledger.removable(None, 1999, 100)] == ["a", "b", "r0"]
    assert [line.wish.record for line in ledger.removable(None, 999, 100)] == ["a", "b", "r0", "r1", "r2"]
    a, b = (line.request for line in by_age)
    shared = f"{1:064x}"
    assert ledger.removed([a], at(9)) == []
    assert ledger.filed(shared) is not None
    assert ledger.removed([a, b], at(9)) == [shared]
    assert ledger.filed(shared) is None
    gone = ledger.line(b)
    assert gone is not None
    assert (gone.state, gone.filed) == (State.DONE, None)
    assert ledger.removable(None, 2000, 100) == []
    r1, r2 = (task.request for task in tasks[2:])
    assert ledger.removed([r1], at(9)) == []
    assert ledger.removed([r2], at(9)) == [f"{3:064x}"]
    assert len(ledger.removable(None, 0, 100)) == 1


def test_an_image_that_was_removed_is_fetched_again_for_a_new_wish(ledger: Ledger) -> None:
    ledger.accept(asking(), [wish("a", dedup="k")], at(0))
    (task,) = fetch(ledger)
    ledger.removed([task.request], at(2))
    ledger.accept(asking(), [wish("b", dedup="k")], at(3))
    assert [task.record for task in claim(ledger, seconds=4)] == ["b"]


def test_a_batch_is_forgotten_whole_when_it_ended_and_has_no_images(ledger: Ledger) -> None:
    one = ledger.accept(asking(once="k", body="b"), wishes(2, "a"), at(0))
    two = ledger.accept(asking(), wishes(2, "b"), at(0))
    ledger.accept(asking(), wishes(2, "c"), at(0))
    ledger.cancel(two.batch, at(1))
    tasks = claim(ledger)
    ledger.settle([settled(task) for task in tasks if task.record[0] == "a"], at(2))
    assert ledger.purge(at(1), 100) == 0
    assert ledger.purge(at(5), 100) == 2
    with pytest.raises(UnknownName):
        ledger.batch(two.batch)
    assert ledger.batch(one.batch).counts == {"done": 2}
    ledger.removed([task.request for task in tasks], at(6))
    assert ledger.purge(at(7), 100) == 2
    assert ledger.events(0) == []
    assert ledger.latest() == 4
    assert [line.wish.record for line in ledger.lines(Which())] == ["c0", "c1"]
    assert not ledger.accept(asking(once="k", body="other"), wishes(1), at(8)).again


def test_keys_are_kept_and_revoked(ledger: Ledger) -> None:
    key = Key("edge", "agent", "ab" * 32, "intranet", at(0))
    ledger.put_key(key)
    ledger.put_key(Key("a", "viewer", "cd" * 32))
    assert ledger.keys() == [Key("a", "viewer", "cd" * 32), key]
    with pytest.raises(InputError, match="already"):
        ledger.put_key(key)
    ledger.revoke_key("edge", at(5))
    ledger.revoke_key("edge", at(6))
    assert ledger.keys()[1].revoked == at(5)
    with pytest.raises(UnknownName, match="edge"):
        ledger.revoke_key("edgy", at(5))
