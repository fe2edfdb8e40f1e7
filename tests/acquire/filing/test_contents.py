from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from filing_pictures import arrived, drafts_of, encoded, photo, tree
from isthmus.acquire.failure import Failure, Kind
from isthmus.acquire.filing import contents as module
from isthmus.acquire.filing.contents import PARTS, Contents, Entry, sync_each, sync_of, tidy_parts
from isthmus.acquire.filing.recent import LEAST, Recent
from isthmus.acquire.filing.settings import FilingRules
from isthmus.acquire.filing.work import Draft, Examiner
from isthmus.acquire.image import Filed

PROCESS = Path(__file__).with_name("storing_process.py")
STEPS = [
    ("write", 0), ("written one", 0), ("written one", 3), ("sync", 0), ("rename", 0), ("renamed one", 0),
    ("renamed one", 2), ("link", 0), ("linked one", 0), ("linked one", 3), ("sync", 1),
]  # fmt: skip


def _drafts(root: Path, *seeds: int, **wish: Any) -> list[Draft]:
    examiner = Examiner(FilingRules(str(root)), lambda latitude, longitude: None)
    found = [examiner.examine(arrived(encoded(photo(seed)), number, **wish)) for number, seed in enumerate(seeds)]
    return [draft for draft in found if isinstance(draft, Draft)]


def _store(root: Path, drafts: list[Draft], **options: Any) -> list[Filed | Failure]:
    store = Contents(root, **options)
    try:
        return store.store([Entry(draft) for draft in drafts])
    finally:
        store.close()


def test_a_content_is_stored_once_and_linked_at_every_path(tmp_path: Path) -> None:
    drafts = _drafts(tmp_path, 1, 1, 2)
    outcomes = _store(tmp_path, drafts)
    assert outcomes == [draft.filed for draft in drafts]
    first, second, other = (tmp_path / draft.filed.path for draft in drafts)
    assert first.samefile(second)
    assert first.stat().st_nlink == 3
    assert first.read_bytes() == encoded(photo(1))
    assert other.read_bytes() == encoded(photo(2))
    assert len(list((tmp_path / ".contents").rglob("*.jpg"))) == 2
    assert not list((tmp_path / ".parts").iterdir())


def test_large_contents_leave_the_page_cache_once_they_are_durable_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(module, "Recent", lambda: Recent(0, told.append))
    small, *large = _drafts(tmp_path, 1, 2, 3)
    large = [
        Draft(msgspec.structs.replace(draft.filed, size=LEAST), draft.content.ljust(LEAST, b"\0"))
        for draft in large
    ]

    def sync(files: Iterable[str], folders: Iterable[str]) -> None:
        told.append("sync")

    _store(tmp_path, [small, *large, large[0]], sync=sync)
    assert told == ["sync", *(module.content_path(str(tmp_path), draft.filed) for draft in large), "sync"]


def test_storing_again_changes_nothing(tmp_path: Path) -> None:
    drafts = _drafts(tmp_path, 1, 2)
    outcomes = _store(tmp_path, drafts)
    before = {path: (tmp_path / path).stat().st_ino for path in tree(tmp_path)}
    assert _store(tmp_path, drafts) == outcomes
    assert {path: (tmp_path / path).stat().st_ino for path in tree(tmp_path)} == before


def _process(root: Path, *fatal: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([sys.executable, str(PROCESS), str(root), *fatal], capture_output=True, check=False)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, dict[str, bytes]]:
    """What a run that nobody kills tells and leaves."""
    root = tmp_path_factory.mktemp("whole")
    done = _process(root, "", "0")
    assert done.returncode == 0, done.stderr
    return done.stdout, tree(root)


@pytest.mark.parametrize(("step", "count"), STEPS)
def test_after_a_kill_at_any_step_doing_it_again_gives_the_same_and_no_litter(
    tmp_path: Path, whole: tuple[bytes, dict[str, bytes]], step: str, count: int
) -> None:
    told, files = whole
    killed = _process(tmp_path, step, str(count))
    assert killed.returncode == -9
    for name, content in tree(tmp_path).items():
        assert files[name] == content, "what has a name is whole"
    drafts = drafts_of(tmp_path)
    tidy_parts(tmp_path)
    assert msgspec.json.encode(_store(tmp_path, drafts)) == told
    assert tree(tmp_path) == files
    assert not list((tmp_path / ".parts").iterdir())
    shared = list((tmp_path / ".contents").rglob("*.jpg"))
    assert sorted(file.stat().st_nlink for file in shared) == [2, 2, 2, 3]


def test_tidying_leaves_the_parts_of_a_living_worker_alone(tmp_path: Path) -> None:
    alive = Contents(tmp_path)
    entry = Entry(_drafts(tmp_path, 1)[0])
    alive.write([entry])
    assert tidy_parts(tmp_path) == 0
    assert Path(entry.part).exists()
    assert alive.store([Entry(draft) for draft in _drafts(tmp_path, 1)]) == [entry.draft.filed]
    alive.close()


def test_a_folder_that_is_tidied_away_before_it_is_locked_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, tidied = os.open, []

    def tidied_first(path: Any, flags: int, *more: Any, **named: Any) -> int:
        if Path(path).parent.name == PARTS and not tidied:
            tidied.append(path)
            assert tidy_parts(tmp_path) == 1
        return real(path, flags, *more, **named)

    monkeypatch.setattr(os, "open", tidied_first)
    contents = Contents(tmp_path)
    assert [folder for folder in (tmp_path / PARTS).iterdir() if str(folder) not in tidied]
    contents.close()


class _Disk:
    """Fails calls of one function of `os` with an error, for paths that hold a text."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, function: str, code: int, text: str = "", times: int = 99
    ) -> None:
        self._real, self._code, self._text, self._left = getattr(os, function), code, text, times
        monkeypatch.setattr(module.os, function, self)

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        if self._left and any(self._text in str(argument) for argument in arguments):
            self._left -= 1
            raise OSError(self._code, os.strerror(self._code))
        return self._real(*arguments, **options)


@pytest.mark.parametrize("function", ["write", "open", "rename", "link", "makedirs"])
def test_a_full_disk_fails_the_images_that_it_does_not_take_and_leaves_no_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    drafts = _drafts(tmp_path, 1, 2)
    store = Contents(tmp_path)
    with monkeypatch.context() as broken:
        _Disk(broken, function, errno.ENOSPC, times=1)
        outcomes = store.store([Entry(draft) for draft in drafts])
    failures = [outcome for outcome in outcomes if isinstance(outcome, Failure)]
    assert [failure.kind for failure in failures] == [Kind.DISK]
    assert "No space left" in failures[0].reason
    assert not list(Path(store._parts).iterdir())
    assert store.store([Entry(draft) for draft in drafts]) == [draft.filed for draft in drafts]
    store.close()


@pytest.mark.parametrize("sync_number", [1, 2])
def test_a_sync_that_fails_fails_the_whole_group(tmp_path: Path, sync_number: int) -> None:
    calls = []

    def sync(files: Iterable[str], folders: Iterable[str]) -> None:
        calls.append(files)
        if len(calls) == sync_number:
            raise OSError(errno.EIO, "Input/output error")

    drafts = _drafts(tmp_path, 1, 2)
    outcomes = _store(tmp_path, drafts, sync=sync)
    assert {outcome.kind for outcome in outcomes if isinstance(outcome, Failure)} == {Kind.DISK}
    assert len(outcomes) == 2
    assert _store(tmp_path, drafts) == [draft.filed for draft in drafts]


def test_everything_that_was_written_or_named_is_synced_before_it_is_told(tmp_path: Path) -> None:
    synced: list[str] = []
    order: list[str] = []

    def sync(files: Iterable[str], folders: Iterable[str]) -> None:
        sync_each(files, folders)
        order.append("sync")
        synced.extend((*files, *folders))

    drafts = _drafts(tmp_path, 1, 2, place="somewhere")
    store = Contents(tmp_path, sync, lambda name: order.append(name))
    store.store([Entry(draft) for draft in drafts])
    store.close()
    assert order.index("sync") < order.index("rename"), "contents are durable before they have names"
    assert order[-1] == "sync"
    for draft in drafts:
        for named in (tmp_path / draft.filed.path, tmp_path / ".contents" / draft.filed.digest[:2] / "x"):
            folder = named.parent
            while folder != tmp_path.parent:
                assert str(folder) in synced
                folder = folder.parent
    assert sum(path.endswith(".part") for path in synced) == 2


@pytest.mark.parametrize("code", [errno.EXDEV, errno.EMLINK, errno.EPERM, errno.ENOTSUP])
def test_where_linking_is_not_possible_the_path_gets_a_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    drafts = _drafts(tmp_path, 1, 1)
    with monkeypatch.context() as broken:
        _Disk(broken, "link", code)
        assert _store(tmp_path, drafts) == [draft.filed for draft in drafts]
        assert _store(tmp_path, drafts) == [draft.filed for draft in drafts], "again"
    for draft in drafts:
        assert (tmp_path / draft.filed.path).read_bytes() == draft.content
    assert not list(tmp_path.rglob("*.part"))


def test_another_file_at_the_path_gives_way_to_the_image(tmp_path: Path) -> None:
    (draft,) = _drafts(tmp_path, 1)
    named = tmp_path / draft.filed.path
    named.parent.mkdir(parents=True)
    named.write_bytes(b"something else")
    assert _store(tmp_path, [draft]) == [draft.filed]
    assert named.read_bytes() == draft.content


def test_a_content_of_another_length_is_written_anew(tmp_path: Path) -> None:
    (draft,) = _drafts(tmp_path, 1)
    _store(tmp_path, [draft])
    content = next((tmp_path / ".contents").rglob("*.jpg"))
    content.write_bytes(b"")
    (tmp_path / draft.filed.path).unlink()
    _store(tmp_path, [draft])
    assert (tmp_path / draft.filed.path).read_bytes() == draft.content


def test_folders_and_contents_that_are_removed_meanwhile_are_made_again(tmp_path: Path) -> None:
    (draft,) = _drafts(tmp_path, 1)
    store = Contents(tmp_path)
    store.store([Entry(draft)])
    entry = Entry(draft)
    store.write([entry])
    store.settle([entry])
    (tmp_path / draft.filed.path).unlink()
    (tmp_path / draft.filed.path).parent.rmdir()
    content = next((tmp_path / ".contents").rglob("*.jpg"))
    content.unlink()
    content.parent.rmdir()
    store.publish([entry])
    store.close()
    assert entry.outcome == draft.filed
    assert (tmp_path / draft.filed.path).read_bytes() == draft.content


def test_the_kernel_syncs_the_file_system_in_one_call_where_it_can(tmp_path: Path) -> None:
    sync = sync_of(tmp_path)
    if sync is sync_each:
        pytest.skip("this system has no syncfs")
    assert sync((), ()) is None
