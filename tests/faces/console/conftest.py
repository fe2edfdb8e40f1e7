"""One browser for a module, as its event loop is in the way of others; a server and a page for each test."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    pytest.importorskip("playwright", reason="the page is tested by playwright: pip install playwright")
    if not (shutil.which("chromium") or shutil.which("chromium-browser")):
        pytest.skip("the page is tested in Debian's Chromium: apt-get install chromium")
    from console_site import browsing

    with browsing() as made:
        yield made


@pytest.fixture
def open_desk(browser: Any, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Return what opens a page on a server of its own; context options may be given."""
    from console_site import desk

    with ExitStack() as stack:
        yield lambda **more: stack.enter_context(desk(browser, tmp_path, **more))


@pytest.fixture
def desk(open_desk: Callable[..., Any]) -> Any:
    return open_desk()
