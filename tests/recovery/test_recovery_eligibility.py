from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import lance
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.core.errors import InputError, UnknownName
from isthmus.recovery import fork
from isthmus.recovery.eligibility import Distribution, followed, opt_in, opt_out, opted, survey
from isthmus.state.store import Store
from isthmus.warehouse.catalog import Catalog
from isthmus.warehouse.name import TableName
from warehouse_rows import NAME, SMALL, batches, row


@pytest.fixture
def store() -> Iterator[Store]:
    with Store(Path(":memory:")) as opened:
        yield opened


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    catalog = Catalog(tmp_path / "w")
    catalog.create(NAME, SMALL).append(batches([row("a", 1)]))
    return catalog


def folder(catalog: Catalog, table: str) -> Path:
    return Path(catalog.root.removeprefix("file://")) / "loop" / "drive" / f"{table}.lance"


def test_a_table_is_opted_in_by_its_key_where_nothing_else_is_said_and_out_again(
    store: Store, catalog: Catalog
) -> None:
    found = opt_in(store, catalog, str(NAME))
    assert found.distribution == "hash(id)"
    assert opted(store) == {str(NAME): found}
    assert found.identity == catalog.open(NAME).identity
    assert opt_in(store, catalog, str(NAME), "replicated").distribution == "replicated"
    assert opt_out(store, str(NAME))
    assert not opt_out(store, str(NAME))
    assert opted(store) == {}


@pytest.mark.parametrize("text", ["hash(id)", "hash(slot)", "roundrobin", "replicated"])
def test_a_distribution_is_written_as_it_is_read(text: str) -> None:
    assert str(Distribution.parse(text)) == text
    assert str(Distribution.parse(f"  {text.replace('hash', 'HASH')} ")) == text


@pytest.mark.parametrize("text", ["", "hash", "hash()", "hash(id", "random", "hash(id) x"])
def test_what_is_no_distribution_is_refused_with_what_is(store: Store, catalog: Catalog, text: str) -> None:
    with pytest.raises(InputError, match="hash\\(COLUMN\\), roundrobin or replicated"):
        Distribution.parse(text)


def test_the_key_of_a_distribution_is_a_column_that_can_be_hashed(store: Store, catalog: Catalog) -> None:
    with pytest.raises(UnknownName, match="slot"):
        opt_in(store, catalog, str(NAME), "hash(slots)")
    for column in ("complex", "vector", "speed", "tags"):
        with pytest.raises(InputError, match="fitting columns: id, slot, day, at, good"):
            opt_in(store, catalog, str(NAME), f"hash({column})")
    assert opted(store) == {}


def test_a_table_that_is_not_there_is_told_with_the_nearest(store: Store, catalog: Catalog) -> None:
    with pytest.raises(UnknownName, match=r"did you mean 'loop\.drive\.small'"):
        opt_in(store, catalog, "loop.drive.smal")


def test_every_table_that_cannot_travel_is_told_with_its_reason(store: Store, catalog: Catalog) -> None:
    table = catalog.open(NAME)
    table.dataset.shallow_clone(str(folder(catalog, "clone")), reference=table.version)
    schema = pa.schema([("id", pa.string())])
    lance.write_dataset(schema.empty_table(), str(folder(catalog, "foreign")))
    declared = catalog.create(TableName("loop", "drive", "old"), SMALL).arrow
    shutil.rmtree(folder(catalog, "old"))
    lance.write_dataset(declared.empty_table(), str(folder(catalog, "old")))  # no stable row ids
    metadata = {**declared.metadata, b"isthmus:identity": b"?"}
    lance.write_dataset(
        declared.with_metadata(metadata).empty_table(), str(folder(catalog, "nobody")), enable_stable_row_ids=True
    )
    catalog.create(TableName("loop", "drive", "branched"), SMALL).dataset.create_branch("aside")
    shutil.copytree(folder(catalog, "old"), folder(catalog, "Odd-name"))
    broken = folder(catalog, "broken")
    (broken / "_versions").mkdir(parents=True)
    (broken / "_versions" / "1.manifest").write_bytes(b"nothing")

    found = survey(catalog)
    assert list(found.eligible) == [str(NAME)]
    assert {name.split(".")[2]: reason.why for name, reason in found.ineligible.items()} == {
        "clone": "clone",
        "foreign": "schema",
        "old": "row ids",
        "nobody": "identity",
        "branched": "branches",
        "Odd-name": "name",
        "broken": "unreadable",
    }
    for name, reason in found.ineligible.items():
        assert reason.what and reason.hint and "\n" not in str(reason)
        with pytest.raises(InputError) as caught:
            opt_in(store, catalog, name)
        assert str(caught.value) == str(reason)


def test_of_two_copies_only_the_one_that_was_opted_in_before_is_eligible(store: Store, catalog: Catalog) -> None:
    shutil.copytree(folder(catalog, "small"), folder(catalog, "twin"))
    assert {reason.why for reason in survey(catalog).ineligible.values()} == {"copy"}
    assert len(survey(catalog).ineligible) == 2
    shutil.rmtree(folder(catalog, "twin"))
    opt_in(store, catalog, str(NAME))
    shutil.copytree(folder(catalog, "small"), folder(catalog, "twin"))
    found = survey(catalog, opted(store).values())
    assert list(found.eligible) == [str(NAME)]
    assert list(found.ineligible) == ["loop.drive.twin"]


def test_what_a_failback_kept_aside_is_never_taken_for_the_table_that_it_was_kept_of(
    store: Store, catalog: Catalog
) -> None:
    opt_in(store, catalog, str(NAME))
    kept = fork.keep_aside(catalog, NAME, "20261120_020000")
    assert survey(catalog).ineligible[str(kept)].why == "aside"
    assert list(survey(catalog).eligible) == [str(NAME)]
    catalog.drop(NAME)
    assert survey(catalog, opted(store).values()).eligible == {}


def test_tables_of_an_object_store_are_not_eligible(store: Store) -> None:
    import fsspec

    memory = fsspec.filesystem("memory")
    memory.pipe("/site/loop/drive/small.lance/_versions/1.manifest", b"x")
    try:
        found = survey(Catalog("memory://site"))
        assert [reason.why for reason in found.ineligible.values()] == ["place"]
    finally:
        memory.rm("/site", recursive=True)


NAMES = st.sampled_from("abcd")


@given(
    st.dictionaries(NAMES, st.sampled_from("1234"), max_size=4).filter(lambda d: len({*d.values()}) == len(d)),
    st.dictionaries(NAMES, st.sampled_from("123456"), max_size=4).filter(lambda d: len({*d.values()}) == len(d)),
)
def test_a_table_is_followed_by_its_identity_then_by_its_name(
    known: dict[str, str], there: dict[str, str]
) -> None:
    now = followed(known, there)
    names = [name for name, _ in now.values()]
    assert len(set(names)) == len(names)
    for old, identity in known.items():
        if identity in there.values():
            name, kept = now[old]
            assert kept == identity == there[name]
        elif old in now:
            assert now[old] == (old, there.get(old, identity))
    assert followed(dict(now.values()), there) == {name: (name, identity) for name, identity in now.values()}
