from __future__ import annotations

import pytest

from isthmus.loop.rules.catalogue import Catalogue


@pytest.fixture(scope="session")
def catalogue() -> Catalogue:
    return Catalogue.load()
