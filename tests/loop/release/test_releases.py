from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import releasing
from isthmus.core.errors import Corrupt, InputError
from isthmus.loop.release import folder
from isthmus.loop.release.releases import Pointer, Reconciled, Releases, read_pointer
from releasing import card, publish, releases, weights


def pointed(base: Path) -> Pointer | None:
    return read_pointer(str(base / "releases"), "forecast")


def test_a_model_goes_from_its_weights_to_the_champion_that_consumers_see(tmp_path: Path) -> None:
    found = releases(tmp_path)
    model_id = publish(found)
    assert found.registry.get(model_id).state == "candidate"
    assert pointed(tmp_path) is None
    found.promote(model_id, "gate passed")
    pointer = pointed(tmp_path)
    assert pointer is not None
    assert pointer.model_id == model_id
    folder.verify(str(tmp_path / "releases" / "forecast" / pointer.folder), pointer.manifest)
    assert found.reconcile().clean


def test_a_folder_with_spaces_and_signs_in_its_name_holds_releases_too(tmp_path: Path) -> None:
    base = tmp_path / "my site 100% #1"
    found = releases(base)
    found.promote(publish(found))
    assert releases(base, uri=(base / "releases").as_uri()).reconcile().clean
    assert pointed(base) == read_pointer((base / "releases").as_uri(), "forecast")
    assert [item.name for item in tmp_path.iterdir()] == [base.name]


def test_a_rollback_points_back(tmp_path: Path) -> None:
    found = releases(tmp_path)
    one, two = publish(found), publish(found)
    found.promote(one)
    found.promote(two)
    assert found.rollback("forecast").model_id == one
    pointer = pointed(tmp_path)
    assert pointer is not None
    assert pointer.model_id == one


def test_a_damaged_folder_is_not_promoted(tmp_path: Path) -> None:
    found = releases(tmp_path)
    good, bad = publish(found), publish(found)
    found.promote(good)
    path = tmp_path / "releases" / "forecast" / bad / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    with pytest.raises(Corrupt, match=r"model\.safetensors"):
        found.promote(bad)
    champion = found.registry.champion("forecast")
    assert champion is not None
    assert champion.model_id == good


def test_a_rollback_to_a_damaged_folder_changes_nothing_and_one_that_is_withdrawn_is_passed_over(
    tmp_path: Path,
) -> None:
    found = releases(tmp_path)
    one, two, three = publish(found), publish(found), publish(found)
    for model_id in (one, two, three):
        found.promote(model_id)
    path = tmp_path / "releases" / "forecast" / two / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    with pytest.raises(Corrupt, match=r"model\.safetensors"):
        found.rollback("forecast")
    pointer = pointed(tmp_path)
    assert pointer is not None
    assert (pointer.model_id, found.registry.get(three).state) == (three, "champion")
    found.registry.withdraw(two, "its folder is damaged")
    assert found.rollback("forecast").model_id == one


def test_publishing_once_more_changes_nothing(tmp_path: Path) -> None:
    found = releases(tmp_path)
    model_id = publish(found)
    before = found.registry.history(model_id)
    assert found.publish(model_id, weights, card(model_id)).model_id == model_id
    assert found.registry.history(model_id) == before
    with pytest.raises(InputError, match="the card is that of"):
        found.publish(found.registry.allot("forecast"), weights, card(model_id))


def test_a_pointer_that_cannot_be_read_says_what_to_do(tmp_path: Path) -> None:
    found = releases(tmp_path)
    found.promote(publish(found))
    pointer = tmp_path / "releases" / "forecast" / "champion.json"
    pointer.write_text("{")
    with pytest.raises(Corrupt, match="promote the champion again"):
        pointed(tmp_path)
    assert found.reconcile().repointed == ("forecast",)
    assert json.loads(pointer.read_text())["format"] == 1


def test_a_row_whose_folder_is_gone_is_reported(tmp_path: Path) -> None:
    found = releases(tmp_path)
    model_id = publish(found)
    (tmp_path / "releases" / "forecast" / model_id).rename(tmp_path / "elsewhere")
    assert found.reconcile() == Reconciled(missing=(model_id,))


def test_a_folder_of_a_lost_registry_is_adopted_and_a_damaged_one_left_and_reported(tmp_path: Path) -> None:
    found = releases(tmp_path)
    good, bad = publish(found), publish(found)
    path = tmp_path / "releases" / "forecast" / bad / "model.json"
    path.write_text("{}")
    (tmp_path / "releases" / "forecast" / "notes").mkdir()
    (tmp_path / "new").mkdir()
    fresh = releases(tmp_path / "new", uri=str(tmp_path / "releases"))
    settled = fresh.reconcile()
    assert settled.adopted == (good,)
    assert len(settled.damaged) == 1
    assert "model.json" in settled.damaged[0]
    assert path.exists()
    assert fresh.registry.get(good).state == "candidate"
    assert fresh.registry.allot("forecast") != good


def test_an_upload_that_was_cut_off_is_removed_from_an_object_store(tmp_path: Path) -> None:
    uri = f"memory://{tmp_path.name}"

    def dies(step: str) -> None:
        if step == "all but the manifest uploaded":
            raise KeyboardInterrupt

    found = releases(tmp_path, dies, uri)
    with pytest.raises(KeyboardInterrupt):
        publish(found)
    settled = releases(tmp_path, uri=uri).reconcile()
    assert len(settled.removed) == 1
    model_id = publish(releases(tmp_path, uri=uri))
    whole = Releases(found.registry, uri)
    assert whole.promote(model_id).state == "champion"
    pointer = read_pointer(uri, "forecast")
    assert pointer is not None
    assert pointer.model_id == model_id


def killed(base: Path, deed: str, step: str) -> None:
    """Run the deed in a process of its own that SIGKILL ends at the step."""
    done = subprocess.run(
        [sys.executable, releasing.__file__, str(base), deed, step], capture_output=True, text=True, check=False
    )
    assert done.returncode == -signal.SIGKILL, done.stderr


def sound(base: Path) -> Releases:
    """Reconcile as the next start does, and check that everything is level afterwards."""
    found = releases(base)
    settled = found.reconcile()
    assert not settled.missing
    assert not settled.damaged
    assert found.reconcile().clean
    for model in found.registry.list():
        folder.verify(model.folder, model.manifest)
    assert not list((base / "releases").rglob("*.part"))
    champion, pointer = found.registry.champion("forecast"), pointed(base)
    assert (champion.model_id if champion else None) == (pointer.model_id if pointer else None)
    return found


@pytest.mark.parametrize(
    ("step", "models", "champion"),
    [
        ("weights written", 1, "forecast-{}-1"),
        ("card written", 1, "forecast-{}-1"),
        ("manifest written", 1, "forecast-{}-1"),
        ("folder renamed", 2, "forecast-{}-1"),
        ("row inserted", 2, "forecast-{}-1"),
        ("candidate entered", 2, "forecast-{}-1"),
        ("old champion retired", 2, "forecast-{}-1"),
        ("new champion set", 2, "forecast-{}-1"),
        ("champion switched", 2, "forecast-{}-2"),
        ("pointer replaced", 2, "forecast-{}-2"),
    ],
)
def test_a_release_killed_at_any_step_leaves_one_champion_and_whole_folders(
    tmp_path: Path, step: str, models: int, champion: str
) -> None:
    first = publish(releases(tmp_path))
    releases(tmp_path).promote(first)
    killed(tmp_path, "release", step)
    found = sound(tmp_path)
    assert len(found.registry.list("forecast")) == models
    reigning = found.registry.champion("forecast")
    assert reigning is not None
    assert reigning.model_id == champion.format(first.split("-")[1])
    third = publish(found)
    assert found.promote(third).state == "champion"
    assert found.reconcile().clean


@pytest.mark.parametrize(
    ("step", "restored"),
    [
        ("old champion retired", False),
        ("new champion set", False),
        ("champion switched", True),
        ("pointer replaced", True),
    ],
)
def test_a_rollback_killed_at_any_step_has_happened_or_not(tmp_path: Path, step: str, restored: bool) -> None:
    found = releases(tmp_path)
    one, two = publish(found), publish(found)
    found.promote(one)
    found.promote(two)
    killed(tmp_path, "rollback", step)
    reigning = sound(tmp_path).registry.champion("forecast")
    assert reigning is not None
    assert reigning.model_id == (one if restored else two)
