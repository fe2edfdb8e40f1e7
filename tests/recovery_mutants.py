"""Bugs that are planted into recovery, each by few lines, and the deeds that matter for finding it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

from isthmus.core.chain import Verdict as Chain
from isthmus.core.chain import judge as chained
from isthmus.recovery import capture, cut, pair, publishing
from isthmus.recovery.barrier import Barrier, TableAt
from isthmus.recovery.contents import Contents
from isthmus.recovery.holding import Holding
from isthmus.recovery.landing import Landing
from isthmus.recovery.pair import Pair
from isthmus.recovery.placing import Placing
from isthmus.recovery.publishing import Publishing
from isthmus.recovery.restoring import Restoring
from isthmus.recovery.roles import Claim, Verdict, judge
from isthmus.recovery.turnover import Turnover
from isthmus.transfer import arrival
from isthmus.warehouse import fence as fences

Plant = Callable[[], contextlib.AbstractContextManager[Any]]
MUTANTS: dict[str, tuple[Plant, dict[str, int]]] = {}
"""By what the bug is: what plants it, and the deeds with their weights."""

CALM = {"rows": 4, "columns": 1, "round": 3, "look": 3, "settle": 1}
DEATHS = {"rows": 4, "tables": 2, "land": 6, "look": 1, "settle": 1}
ROLES = {"rows": 3, "round": 3, "look": 3, "turn": 2, "failover": 1, "settle": 1}


def _plant(what: str, **weights: int) -> Callable[[Callable[[], Any]], Callable[[], Any]]:
    """Keep a bug: the function makes what is patched in."""

    def kept(make: Callable[[], Any]) -> Callable[[], Any]:
        MUTANTS[what] = make, weights
        return make

    return kept


@_plant("manifests are placed before what they name", **DEATHS)
def _manifests_first() -> Any:
    def place(self: Publishing, plan: Any, new: Collection[str]) -> None:
        files = sorted(plan.placed.items(), key=lambda one: not one[0].manifest)
        self._placing.place(dict(files), "data")
        self._placing.place(plan.colliding, "collision")

    return mock.patch.object(Publishing, "_place", place)


@_plant("the fence is written table by table", **DEATHS)
def _fence_by_table() -> Any:
    def flip(self: Publishing, publication: Any, barrier: Barrier) -> None:
        before = self.fence()
        write = fences.write

        def one_by_one(root: Any, fence: Any) -> None:
            tables = dict(before.tables)
            for name, shown in fence.tables.items():
                tables[name] = shown
                write(root, replace(fence, tables=dict(tables)))
                self._step("landing flipped one")
            write(root, fence)

        with mock.patch.object(publishing.fences, "write", one_by_one):
            whole(self, publication, barrier)

    whole = Publishing._flip
    return mock.patch.object(Publishing, "_flip", flip)


@_plant("the fence goes on to the barrier and keeps its tables", **CALM)
def _fence_kept() -> Any:
    def shown(self: Publishing, barrier: Barrier) -> Any:
        return right(self, barrier) | {
            name: one
            for name, one in self.fence().tables.items()
            if name in {t.name for t in barrier.tables.values()}
        }

    right = Publishing._shown
    return mock.patch.object(Publishing, "_shown", shown)


@_plant("the digest of a staged content is not checked", rows=4, land=6, damage=6)
def _unchecked() -> Any:
    return mock.patch.object(Contents, "proven", lambda self, digest, size: True)


@_plant("the position is committed before the tables", **DEATHS)
def _position_first() -> Any:
    def land(self: Landing, publication: Any) -> None:
        header = publication.header
        with self._store.transaction() as connection:
            self._rounds.stand(connection, header.stream, header.key, header.until, full=False)
        whole(self, publication)

    whole = Landing._land
    return mock.patch.object(Landing, "_land", land)


@_plant("what a barrier needs no more goes at once", rows=4, care=3, read_on=2, settle=3)
def _no_grace() -> Any:
    def collect(self: Holding) -> list[str]:
        rows = self._store.rows("SELECT max(number) - 1 AS last FROM holding_barrier")
        return self._remove(rows[0]["last"]) if rows[0]["last"] else []

    return mock.patch.object(Holding, "collect", collect)


@_plant("the versions of a cut are read once", rows=2, tables=2, back_up=6, look=5, settle=1)
def _single_collect() -> Any:
    def collect(root: Path, published: Any, clock: Any, most_tries: int = 0) -> Any:
        return cut.Seen(clock.now(), cut.look(root, published()), 1)

    return mock.patch.object(capture, "collect", collect)


@_plant("the files of deleted rows are left behind", **CALM)
def _no_deletions() -> Any:
    def listed(table: Any) -> Any:
        return tuple(file for file in whole(table) if not file.path.startswith("_deletions"))

    whole = capture.files_of
    return mock.patch.object(capture, "files_of", listed)


@_plant("a renamed table keeps its old name", rows=1, tables=5, round=4, look=3, settle=1)
def _old_name() -> Any:
    names: dict[str, str] = {}

    def table_at(one: Any) -> TableAt:
        made = whole(one)
        return replace(made, name=names.setdefault(made.identity, made.name))

    whole = capture._table_at
    return mock.patch.object(capture, "_table_at", table_at)


@_plant("contents are trusted to be there though they are missing", **DEATHS | {"road": 4, "damage": 5})
def _trusted() -> Any:
    def known(self: Pair) -> set[bytes]:
        last = self._ends.backup.barrier()
        return set(last.contents()) if last else set()

    return mock.patch.object(Pair, "_known", known)


@_plant("a second primary is not fenced", **ROLES)
def _second_primary() -> Any:
    def judged(own: Claim, other: Claim | None) -> Verdict:
        verdict = judge(own, other)
        return Verdict.STAY if verdict is Verdict.FENCE else verdict

    return mock.patch.object(pair, "judge", judged)


@_plant("a rogue manifest is believed for its number", **CALM | {"rogue": 4})
def _rogue_believed() -> Any:
    def place(self: Placing, files: Mapping[Any, Any], what: str) -> None:
        there = publishing.path_of
        whole(self, {at: file for at, file in files.items() if not there(self._root, at).exists()}, what)

    whole, none = Placing.place, mock.Mock(return_value=[])
    return _all(mock.patch.object(Placing, "place", place), mock.patch.object(Holding, "set_aside_rogues", none))


@_plant("a half round is kept at a failover", **DEATHS | {"rogue": 3, "failover": 3})
def _half_kept() -> Any:
    return mock.patch.object(Holding, "rewind", lambda self: [])


@_plant("a stale epoch's claim is heeded", **ROLES)
def _stale_claim() -> Any:
    def judged(own: Claim, other: Claim | None) -> Verdict:
        if other is not None and own.role == other.role == "primary":
            return Verdict.FENCE
        return judge(own, other)

    return mock.patch.object(pair, "judge", judged)


@_plant("bundles of an ended epoch are applied", rows=2, round=2, road=6, switch=4, settle=4)
def _stale_bundles() -> Any:
    def judged(header: Any, standing: Any, seen: Any) -> Any:
        verdict = chained(header, standing, seen)
        return Chain.SNAPSHOT if verdict is Chain.STALE and header.kind.value == "snapshot" else verdict

    return _all(mock.patch.object(arrival, "judge", judged), mock.patch.object(Landing, "_may", mock.Mock()))


@_plant("any round makes the standby take over", **CALM)
def _takes_over() -> Any:
    return mock.patch.object(Landing, "event", lambda self: "switchover" if self.barrier() else "")


@_plant("a failback keeps nothing aside", **ROLES | {"failback": 2})
def _nothing_aside() -> Any:
    from isthmus.recovery import turnover

    return mock.patch.object(turnover, "parted", lambda catalog, names, theirs: iter(()))


@_plant("writers are not kept out during a switchover", **CALM | {"switch": 2, "forbidden": 6, "look": 3})
def _not_held() -> Any:
    def hand_over(self: Turnover) -> None:
        self._become(replace(self.fence, role="yielding"), "hand over")

    return mock.patch.object(Turnover, "hand_over", hand_over)


@_plant("a round whose predecessor is missing is applied", **CALM | {"road": 8, "tables": 2})
def _gap_applied() -> Any:
    def judged(header: Any, standing: Any, seen: Any) -> Any:
        verdict = chained(header, standing, seen)
        return Chain.NEXT if verdict is Chain.GAP else verdict

    def applied(self: Any, old: Barrier | None) -> Barrier:
        return whole(replace(self, prior="" if old is None else old.key), old)

    whole = publishing.Publication.__annotations__ and _change().applied
    return _all(
        mock.patch.object(arrival, "judge", judged),
        mock.patch.object(_change(), "applied", applied),
        mock.patch.object(Barrier, "digest", _blind),
        mock.patch.object(Restoring, "expected", mock.Mock()),
    )


def _blind(self: Barrier, key: bytes) -> Any:
    from isthmus.core.digest import Digest

    return Digest()


def _change() -> Any:
    from isthmus.recovery.barrier import Change

    return Change


@contextlib.contextmanager
def _all(*patches: contextlib.AbstractContextManager[Any]) -> Iterator[None]:
    with contextlib.ExitStack() as once:
        for patch in patches:
            once.enter_context(patch)
        yield
