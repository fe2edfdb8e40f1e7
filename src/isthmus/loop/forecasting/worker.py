"""One process of a cluster training, started by PyTorch's launcher: JOB BACKEND TIMEOUT."""

from __future__ import annotations

import dataclasses
import datetime
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from isthmus.core.progress import Progress
from isthmus.loop.forecasting.cluster import FAILURE, PROGRESS
from isthmus.loop.forecasting.job import TrainJob
from isthmus.loop.forecasting.train import train


class Processes:
    """A team of processes that PyTorch has brought together."""

    def __init__(self, backend: str) -> None:
        self.rank = dist.get_rank()
        self.world = dist.get_world_size()
        self.backend = backend

    def wrap(self, network: Any) -> Any:
        """Average the gradients over the team."""
        return torch.nn.parallel.DistributedDataParallel(network)

    def sum(self, values: Any) -> Any:
        """Sum a tensor over the team; nccl does that on the GPU only."""
        there = values.cuda() if self.backend == "nccl" else values
        dist.all_reduce(there)
        return there.to(values.device)


def main(arguments: list[str]) -> None:
    """Train as a member of the team; a failure is told in a file beside the job."""
    path, backend, timeout = Path(arguments[0]), arguments[1], float(arguments[2])
    rank = int(os.environ["RANK"])
    try:
        job = TrainJob.read(path)
        if job.settings.device == "cuda":
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        dist.init_process_group(backend, timeout=datetime.timedelta(seconds=timeout))
        train(job, team=Processes(backend), report=_tell)
        dist.barrier()
        dist.destroy_process_group()
    except Exception as error:  # told to the process that launched the team, whatever it is
        what = " ".join(str(error).split()) or type(error).__name__
        path.with_name(FAILURE.format(rank=rank)).write_text(json.dumps({"at": time.time(), "what": what[:400]}))
        raise


def _tell(progress: Progress) -> None:
    print(PROGRESS + json.dumps(dataclasses.asdict(progress)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
