"""Every block of the book is followed by a test, or told why not; the pages that need little are followed here."""

from __future__ import annotations

import itertools
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gallery_sites import free_port, here
from page_reader import On, Reader, reading
from page_worlds import change, comes_up, installed, read_site
from pages import DRAWN, ELSEWHERE, FAST, FOLLOWED, PAGES, Block, blocks_of, name_of, not_here
from traffic import site_with_a_day

if TYPE_CHECKING:
    from isthmus.loop.scene import Scene
    from isthmus.loop.simulators.drive import Drive
    from isthmus.loop.simulators.policy import Policy

TESTS = Path(__file__).parents[1]
LAYOUTS = {"formats.md"}  # its indented lines are layouts of what is written; tests/golden holds one of each
ALL = [name_of(page) for page in PAGES]


@pytest.mark.parametrize("page", ALL)
def test_every_block_of_a_page_is_followed_or_told_of(page: str) -> None:
    for block in blocks_of(page):
        if block.language == DRAWN or not_here(block):
            continue
        where = f"{page}:{block.line} ({block.language or 'typed'})"
        assert block.language in FOLLOWED.get(page, {}), (
            f"{where}: no test follows it, and ELSEWHERE says no reason"
        )


def test_who_follows_a_page_names_it() -> None:
    for page, files in FOLLOWED.items():
        languages = {block.language for block in blocks_of(page) if not not_here(block)}
        assert set(files) <= languages, f"{page} has no block of {sorted(set(files) - languages)}"
        for file in set(files.values()):
            assert Path(page).name in (TESTS / file).read_text(), f"{file} says nothing of {page}"


def test_what_is_shown_stands_in_a_fence() -> None:
    for page in PAGES:
        if page.name in LAYOUTS:
            continue
        text = re.sub(r"^\s*```.*?^\s*```\s*$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
        paragraphs = re.split(r"\n\n+", text)
        for before, this in itertools.pairwise(paragraphs):
            in_list = re.match(r"\s*([-*]|\d+\.) |    ", before)
            assert in_list or not this.startswith("    "), f"{page}: put this into a fence: {this}"


@pytest.mark.parametrize(("page", "begins"), ELSEWHERE, ids=lambda part: part[:30])
def test_what_is_not_followed_here_is_proven_otherwise(page: str, begins: str) -> None:
    told = ELSEWHERE[page, begins]
    lines = [line for block in blocks_of(page) for line in block.lines if line.startswith(begins)]
    assert lines, f"{page} has no such line any more: {begins}"
    assert told.why
    for line in lines:
        told.proof(line)


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="apt-get install systemd")
def test_the_lines_for_a_service_name_the_unit_that_systemd_understands() -> None:
    lines = [line for block in blocks_of("operate.md") for line in block.lines if "isthmus@" in line]
    assert {word for line in lines for word in re.findall(r"isthmus@\w+", line)} == {"isthmus@north"}


@pytest.mark.skipif(not shutil.which("nginx", path="/usr/sbin:/usr/bin"), reason="apt-get install nginx-light")
def test_the_proxy_of_access_md_is_one_that_nginx_takes(tmp_path: Path) -> None:
    (text,) = (block.text for block in blocks_of("access.md") if block.language == "nginx")
    file = tmp_path / "nginx.conf"
    server = f"server {{ listen 127.0.0.1:{free_port()};\n{text}}}"
    file.write_text(f"pid {tmp_path}/pid;\nevents {{}}\nhttp {{\naccess_log off;\n{server}\n}}\n")
    program = shutil.which("nginx", path="/usr/sbin:/usr/bin")
    done = subprocess.run(
        [str(program), "-t", "-p", str(tmp_path), "-e", "stderr", "-c", str(file)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_recovery_md_is_read_as_it_stands(tmp_path: Path) -> None:
    from isthmus.recovery import sql

    def statements(_: Reader, block: Block) -> None:
        assert len(sql.parse(block.text)) == block.text.count(";")

    with reading(tmp_path, blocks={"[site]": read_site, "CREATE PUBLICATION": statements}) as reader:
        assert reader.follow("recovery.md")


# operate


def test_operate_md_is_followed(tmp_path: Path) -> None:
    sites, site = tmp_path / "sites", tmp_path / "sites" / "north"
    for folder in (sites, tmp_path / "backup", tmp_path / "agents"):
        folder.mkdir()

    def made(reader: Reader, said: str) -> None:
        assert "What is this site to be?" in said
        (site / "gate").mkdir()
        here(site, "gate", "keys")

    def an_environment(_: Reader) -> None:
        here(tmp_path, "init", str(tmp_path / "agents" / "north"), "--role", "agent")
        gate = '\n[agent.gate]\nenvironment = "north"\nout_folder = "out"\nin_folder = "in"\n'
        toml = tmp_path / "agents" / "north" / "isthmus.toml"
        change(toml, ('folder = "agent"  ', 'folder = "agent" '), more=gate)
        for name in ("out", "in"):
            (toml.parent / name).mkdir()
        key = here(toml.parent, "acquire", "gate", "keys").stdout.strip()
        change(toml, ('in_folder = "in"', f'in_folder = "in"\ntrust = ["{key}"]'))

    up = "isthmus --site /var/lib/isthmus/north up"
    ons = (
        On("isthmus init", types=f"inner\n\n\n\nyes\n{free_port()}\n", after=made, says="made "),
        On("isthmus --site /var/lib/isthmus/north doctor", says="all is well"),
        On(up, stays='"part"', after=lambda *_: comes_up(site)),
        On("isthmus --site /var/lib/isthmus/north status", says="console"),
        On("isthmus --site north status --running", at="sites"),
        On("isthmus --site north status", at="sites", says="gate-send"),
        On("isthmus --site north doctor", at="sites"),
        On("tar ", before=lambda reader: reader.end(up)),
        On("isthmus --site north gate epoch", at="sites", says="begun at 2/"),
        On("isthmus --site north acquire gate epoch", at="agents", says="begun at 2/", before=an_environment),
    )
    with reading(tmp_path, ons) as reader:
        reader.words |= {"/var/lib/isthmus": str(sites), "/backup": str(tmp_path / "backup")}
        assert reader.follow("operate.md")
    assert (tmp_path / "backup" / "north.tar.gz").stat().st_size > 1000


# how to


def test_add_a_rule_md_is_followed(tmp_path: Path) -> None:
    toml = site_with_a_day(tmp_path)

    def rules(_: Reader, block: Block) -> None:
        (tmp_path / "rules").mkdir()
        (tmp_path / "rules" / "highway.toml").write_text(block.text)

    def named(_: Reader, block: Block) -> None:
        change(toml, more=f"\n{block.text}")

    with reading(
        tmp_path, [On("isthmus mine", says="of 56 considered")], {"[rule.tight_cut_in]": rules, "[rules]": named}
    ) as reader:
        assert reader.follow("how-to/add-a-rule.md")


@pytest.mark.parametrize(
    ("page", "table"),
    [
        ("how-to/add-a-metric.md", '[pipeline.forecast.evaluation]\nmetrics = ["{name}"]\n'),
        (
            "how-to/add-a-simulator.md",
            '[pipeline.forecast.simulation]\nsimulators = ["{name}"]\n'
            "[pipeline.forecast.simulation.settings.{name}]\nseeds = 2\n",
        ),
        ("how-to/add-a-source.md", ""),
        ("how-to/add-an-extractor.md", ""),
    ],
)
def test_what_a_how_to_adds_is_found_by_its_name_and_a_misspelt_one_is_refused(
    tmp_path: Path, page: str, table: str
) -> None:
    assert FAST in FOLLOWED[page].values()
    toml = tmp_path / "site" / "isthmus.toml"
    toml.parent.mkdir()
    with installed(page, tmp_path / "packages") as name:
        used = [
            block.text for block in blocks_of(page) if block.language == "toml" and "[project." not in block.text
        ]
        for text in used or [table.format(name=name)]:
            toml.write_text(f'[site]\nname = "site"\n{text}')
            here(toml.parent, "check")
        toml.write_text(toml.read_text().replace(f'"{name}"', f'"{name}x"'))
        here(toml.parent, "check", code=2)


def test_the_simulator_of_add_a_simulator_md_drives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from isthmus.loop.simulators import logreplay
    from isthmus.loop.simulators.policy import policy
    from isthmus.loop.simulators.port import simulator
    from simulated_roads import Car, scene

    def drive(self: object, scene: Scene, driver: Policy) -> Drive:
        settings = logreplay.LogReplaySettings()
        return logreplay._Replay(logreplay.prepare(scene, settings.curve_accel, True), 0, settings).drive(driver)

    with installed("how-to/add-a-simulator.md", tmp_path / "packages") as name:
        town = simulator(name)
        monkeypatch.setattr(
            town, "_drive", drive, raising=False
        )  # the guide leaves the drive itself to its reader
        scenes = [scene(Car(0.0, 10.0), Car(40.0, 10.0), scene_id=which) for which in ("a", "b")]
        episodes = list(town(town.Settings(seeds=2)).episodes(scenes, policy("replay")))
    assert [episode.scene_id for episode in episodes] == ["a", "b"]
    assert all(episode.passed for episode in episodes)
