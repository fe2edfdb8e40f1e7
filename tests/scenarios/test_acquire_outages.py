"""Disks that are full and a database that restarts: work stands still for a while, and nothing is lost."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

import acquire_servers
from acquire_batches import dead_addresses_end_the_batch_and_come_only_on_demand
from acquire_faults import (
    PATIENCE_S,
    Answered,
    Call,
    Watch,
    again,
    asked,
    judge,
    no_litter,
    pictures,
    proxying,
    slowly,
)
from acquire_sites import LOOPBACK, AgentSite, Hub, running
from gallery_sites import here, isthmus, until
from hostile_servers import nginx
from isthmus.core.errors import Busy
from small_disk import SmallDisk, small_disk

QUICK = "poll_s = 0.2"


def spooled(agent: AgentSite) -> int:
    return len(list((agent.folder / "agent" / "spool").glob("[0-9]*.json")))


def test_a_server_whose_disk_is_full_takes_nothing_loses_nothing_and_goes_on_when_there_is_room(
    tmp_path: Path,
) -> None:
    contents = pictures(tmp_path / "store" / "root", 200)
    with nginx(tmp_path / "store") as port, small_disk(tmp_path / "hub", 24) as disk:
        hub = Hub(tmp_path / "hub", QUICK)
        agent = hub.environment("video", LOOPBACK.format(port=port) + slowly(100))
        with running(hub, agent):
            batch = hub.ask(asked(f"http://127.0.0.1:{port}", contents, "video"))
            watch = Watch(hub.client(), batch)
            watch.until(40)
            disk.fill()
            until(lambda: asks_for_patience(agent), "the agent is asked to come later", PATIENCE_S)
            with pytest.raises(Busy) as refused:
                hub.ask(asked(f"http://127.0.0.1:{port}", contents, "video"), once="later")
            assert "\n" not in str(refused.value)
            refused_by_the_command_line(hub, tmp_path)
            assert agent.running
            agent.kill()
            until(lambda: not hub.answers(), "the server tells that it cannot take back what the agent leased")
            disk.empty()
            until(hub.answers, "the server is well again", PATIENCE_S)
            agent.start()
            watch.until(len(contents))
            assert judge(hub, batch, contents, watch) == {"done": len(contents)}
            watch.stop()
            ends_in_one_line(hub, disk)
            hub.start()
            again(agent)
            no_litter(hub, agent)


def asks_for_patience(agent: AgentSite) -> bool:
    told = {line["event"] for line in agent.told()}
    return bool(told & {"server asks for patience", "server away"})


def refused_by_the_command_line(hub: Hub, folder: Path) -> None:
    """Prove that who asks now is told so in one line, with the exit code of what may go better later."""
    (folder / "list.csv").write_text("address,environment,record\nhttp://127.0.0.1/1.jpg,video,more\n")
    (folder / "client.key").write_text(hub.key("client"))
    words = ("acquire", "--server", hub.url, "--key-file", str(folder / "client.key"), str(folder / "list.csv"))
    said = here(folder, *words, code=4).stderr.strip()
    assert said.startswith("isthmus: ")
    assert "No room" in " ".join(said.split())


def ends_in_one_line(hub: Hub, disk: SmallDisk) -> None:
    """Prove that a server that finds a full disk at its start ends with a line that says so."""
    assert hub.end() == 0
    disk.fill()
    said = isthmus(hub.folder, "serve", "acquire", code=1).stderr
    assert "space" in " ".join(said.split())
    disk.empty()


@pytest.mark.soak
def test_an_agent_whose_disk_is_full_while_the_server_is_away_keeps_what_it_has_and_loses_nothing(
    tmp_path: Path,
) -> None:
    contents = pictures(tmp_path / "store" / "root", 200)
    away = False

    def meddle(call: Call, send: Callable[[Call], Answered]) -> Answered | None:
        return None if away else send(call)

    with nginx(tmp_path / "store") as port, proxying() as proxy:
        hub = Hub(tmp_path / "hub", f"{QUICK}\n{proxy.public_url}")
        proxy.to, proxy.meddle = hub.port, meddle
        agent = hub.environment("video", LOOPBACK.format(port=port) + slowly(100))
        with small_disk(agent.folder / "agent", 4) as disk, running(hub, agent):
            batch = hub.ask(asked(f"http://127.0.0.1:{port}", contents, "video"))
            watch = Watch(hub.client(), batch)
            watch.until(20)
            disk.fill()
            away = True
            refused = {"spool not writable"}
            until(lambda: refused & {one["event"] for one in agent.told()}, "the disk takes nothing", PATIENCE_S)
            assert spooled(agent) == 0
            disk.empty()
            until(lambda: spooled(agent), "results go to the disk", PATIENCE_S)
            again(agent)  # what is on the disk outlives it
            assert spooled(agent)
            away = False
            watch.until(len(contents))
            assert judge(hub, batch, contents, watch) == {"done": len(contents)}
            assert spooled(agent) == 0
            watch.stop()
            again(agent)
            again(hub)
            no_litter(hub, agent)


def test_a_postgres_that_restarts_under_two_servers_costs_time_and_nothing_else(tmp_path: Path) -> None:
    contents = pictures(tmp_path / "store" / "root", 200)
    with nginx(tmp_path / "store") as port, acquire_servers.postgres() as postgres:
        (tmp_path / "postgres").write_text(postgres.dsn)
        shared = 'postgres_file = "../postgres"'
        files = Hub(tmp_path / "files", QUICK, shared, "first-")
        tells = Hub(tmp_path / "tells", f'{QUICK}\n[acquire.filing]\nroot = "../files/images"', shared, "second-")
        rules = LOOPBACK.format(port=port) + slowly(60)
        agents = [files.environment("video", rules), tells.environment("intranet", rules)]
        with running(files, tells, *agents):
            names = list(contents)
            base = f"http://127.0.0.1:{port}"
            wishes = [*asked(base, names[::2], "video"), *asked(base, names[1::2], "intranet")]
            batch = tells.ask(wishes)
            watches = [Watch(tells.client(), batch), Watch(files.client("viewer"), batch)]
            for moment in sorted(random.Random(3).sample(range(20, 150), 2)):
                watches[0].until(moment)
                postgres.stop("immediate")
                postgres.start()
            for hub, watch in zip((tells, files), watches, strict=True):
                watch.until(len(contents))
                if hub is files:
                    assert judge(hub, batch, contents, watch) == {"done": len(contents)}
                assert [told.facts["request"] for told in watch.told] == [
                    told.facts["request"] for told in watches[0].told
                ]
                watch.stop()


@pytest.mark.parametrize("count", [600, pytest.param(3000, marks=pytest.mark.soak)])
def test_a_batch_with_three_tenths_dead_addresses_ends_and_the_rest_is_retried_only_on_demand(
    tmp_path: Path, count: int
) -> None:
    no_breaker = slowly(0, failures=1_000_000)
    figures = dead_addresses_end_the_batch_and_come_only_on_demand(tmp_path, count, no_breaker, PATIENCE_S)
    assert max(figures.server_mb, figures.agent_mb) < 400
