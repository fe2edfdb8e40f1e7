"""Two interface servers with one ledger: what one accepts and files, the other hands out and pushes."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from acquire_servers import nats, postgres
from acquire_sites import Hub, Storage, running, wish


@pytest.mark.parametrize("woken_by", ["postgres", "nats"])
def test_what_one_server_accepts_an_agent_of_the_other_gets_at_once_and_both_push(
    tmp_path: Path, woken_by: str
) -> None:
    store = Storage(tmp_path / "store")
    for number in range(20):
        Image.new("RGB", (64, 48), (number, 90, 200 - number)).save(store.folder / f"{number}.jpg")
    with postgres() as database, nats() as carrier:
        secret = tmp_path / "dsn"
        secret.write_text(database.dsn)
        shared = f'postgres_file = "{secret}"\n' + (f'nats = "{carrier}"\n' if woken_by == "nats" else "")
        one, two = (Hub(tmp_path / name, "poll_s = 60.0", shared, name) for name in ("one", "two"))
        agent = two.environment("street", store.allow)
        with running(store, one, two, agent):
            batch = one.ask([wish(store, f"{number}.jpg", "street") for number in range(20)])
            assert one.ended(batch) == {"done": 20}
            seen = [one.events(batch, 20), two.events(batch, 20)]
            assert [len({told.facts["request"] for told in told_by}) for told_by in seen] == [20, 20]
