"""A lost connection is told once, by the channel, and not by tracebacks of an engine's tasks."""

from __future__ import annotations

import asyncio
import gc
import logging

import pytest

from isthmus.transfer.ice.losses import expect_losses


def _left_behind(error: Exception) -> None:
    async def fails() -> None:
        raise error

    async def main() -> None:
        expect_losses(asyncio.get_running_loop())
        task = asyncio.create_task(fails())
        await asyncio.wait({task})
        del task
        gc.collect()

    asyncio.run(main())


def test_a_task_that_could_not_send_is_passed_over(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        _left_behind(ConnectionError("cannot send (already closed?)"))
    assert caplog.records == []


def test_any_other_error_of_a_task_is_told(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        _left_behind(ValueError("a mistake"))
    assert "never retrieved" in caplog.text
