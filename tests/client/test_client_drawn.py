"""The client's calls of what there is to see are those that the doors describe, and they are answered."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest

import client_drawn
from hub_serving import serving
from isthmus.app.people.person import Role
from isthmus.client import ApiError, Client
from isthmus.client.see import AsyncSeeing, Seeing
from isthmus.faces.cli.described import described


def test_what_is_drawn_is_what_the_doors_describe() -> None:
    found = {file.stem: file.read_text() for file in client_drawn.PLACE.glob("*.py")}
    assert found == client_drawn.subjects(described()), "draw it anew with: python tests/client_drawn.py"


def test_both_clients_have_the_same_calls() -> None:
    plain, waiting = (dict(inspect.getmembers(kind, inspect.isfunction)) for kind in (Seeing, AsyncSeeing))
    assert plain.keys() == waiting.keys()
    for name in plain.keys() - {"__init__"}:
        assert inspect.signature(plain[name]).parameters == inspect.signature(waiting[name]).parameters


def test_every_call_is_answered_as_its_type_or_told_to_be_missing(tmp_path: Path) -> None:
    with serving(tmp_path) as served, Client(served.url, served.keys[Role.ADMIN]) as client:
        answered = 0
        for name, call in inspect.getmembers(client.see, inspect.ismethod):
            if name.startswith("_"):
                continue
            places = [
                one.name
                for one in inspect.signature(call).parameters.values()
                if one.default is inspect.Parameter.empty
            ]
            try:
                found = call(*("nothing" for _ in places))
                if isinstance(found, Iterator):
                    next(found, None)
                answered += 1
            except ApiError as error:
                assert error.status in (404, 409, 422), (name, str(error))
        assert answered >= 10


def test_the_overview_is_of_its_type(tmp_path: Path) -> None:
    with serving(tmp_path) as served, Client(served.url, served.keys[Role.VIEWER]) as client:
        assert client.see.overview().sites[0].name == "inner"
        with pytest.raises(ApiError):
            client.see.person("nobody")
