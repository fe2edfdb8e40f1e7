"""Ingests of several sources and a reader, each in a process of its own, begin at once on an empty site."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import ingest_processes
from loop.ingest.test_run import Bench


def test_ingests_that_run_at_once_all_go_in_and_a_reader_is_never_turned_away(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    gate, said = context.Barrier(3), context.Queue()
    processes = [
        *(
            context.Process(target=ingest_processes.ingest, args=(str(tmp_path), n, gate, said))
            for n in ("a", "b")
        ),
        context.Process(target=ingest_processes.ask, args=(str(tmp_path), gate, said)),
    ]
    for process in processes:
        process.start()
    found = dict(said.get(timeout=120) for _ in processes)
    for process in processes:
        process.join()
    assert (found["a"], found["b"]) == ([4, 4, 4], [4, 4, 4])
    assert isinstance(found["ask"], list), found["ask"]
    assert all(count in range(0, 17, 4) for count in found["ask"]), "days come in whole"
    assert found["ask"] == sorted(found["ask"])
    bench = Bench(tmp_path)
    bench.tables.level()
    assert len(bench.ids()) == 16
