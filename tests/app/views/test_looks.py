"""The overview of real sites: a gallery that crosses a gate and reaches a device, and an interface server."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from asked_images import asked
from crossed_galleries import crossed
from isthmus.app.views.overview import Overview, overview_of

NORTH = """[recovery]
peer = "south"
out_place = "to-south"
in_place = "to-north"
"""


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Overview:
    folder = tmp_path_factory.mktemp("sites")
    galleries = crossed(folder / "galleries")
    galleries.sync()
    now = datetime.now(UTC)
    return overview_of([*galleries.tomls, asked(folder / "hub", now)], now)


def figure(seen: Overview, boundary: str, name: str) -> object:
    (flow,) = (one for one in seen.flows if one.boundary == boundary)
    return next(one.value for one in flow.figures if one.name == name)


def test_a_gallery_is_followed_from_the_inner_site_through_the_gate_to_the_device(seen: Overview) -> None:
    kinds = {site.name: site.kinds for site in seen.sites}
    inner = next(name for name, what in kinds.items() if "inner" in what)
    outer = next(name for name, what in kinds.items() if "outer" in what)
    device = next(name for name, what in kinds.items() if "device" in what)
    ways = {(flow.boundary, flow.source, flow.target): flow.far for flow in seen.flows}
    assert ways[("gate", inner, outer)] == ""
    assert ways[("sync", outer, device)] == ""
    assert figure(seen, "gate", "gate-behind") == 0
    assert figure(seen, "sync", "devices") == 1


def test_each_environment_of_an_interface_server_is_an_end_of_its_own(seen: Overview) -> None:
    hub = next(site for site in seen.sites if "acquire" in site.kinds)
    assert hub.ends
    assert all(not end.gives for end in hub.ends)
    total = next(one.value for one in hub.figures if one.name == "acquire-waiting")
    waiting = [one.value for end in hub.ends for one in end.figures if one.name == "acquire-waiting"]
    assert sum(waiting) == total


def test_a_look_makes_nothing_and_is_the_same_again(tmp_path: Path) -> None:
    for name, text in (("inner", '[gallery]\nrole = "inner"\n[gate]\nfolder = "gate"\nkey = "no.pem"\n'),
                       ("hub", "[acquire]\n"), ("device", "[device]\n"), ("north", NORTH)):  # fmt: skip
        folder = tmp_path / name
        folder.mkdir()
        (folder / "isthmus.toml").write_text(f'[site]\nname = "{name}"\n{text}')
    tomls = sorted(tmp_path.glob("*/isthmus.toml"))
    now = datetime.now(UTC)
    first = overview_of(tomls, now)
    left = {file.relative_to(tmp_path) for file in tmp_path.rglob("*") if file.is_file()}
    assert overview_of(tomls, now) == first
    assert {str(file) for file in left} == {f"{name}/isthmus.toml" for name in ("device", "hub", "inner", "north")}
