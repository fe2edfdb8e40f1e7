from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.core.errors import ConfigError, InputError, UnknownName
from isthmus.recovery import publications as pubs
from isthmus.recovery import publist, sql
from isthmus.recovery.adoption import adopt
from isthmus.recovery.eligibility import opt_in, opt_out, opted
from isthmus.recovery.objects import Object, read_objects, write_objects
from isthmus.recovery.publications import Published
from isthmus.state.store import Store
from isthmus.warehouse.catalog import Catalog
from isthmus.warehouse.name import TableName
from isthmus.warehouse.schema import Field, FieldType, Schema

SCHEMA = Schema((Field("id", FieldType.STRING, nullable=False), Field("n", FieldType.INT)), "id")
TABLES = ("main.loop.runs", "main.loop.scenes", "main.acquire.images", "other.loop.runs")


def named(*texts: str) -> list[Object]:
    return [Object.parse(text) for text in texts]


@pytest.fixture
def store() -> Iterator[Store]:
    with Store(Path(":memory:")) as opened:
        yield opened


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    catalog = Catalog(tmp_path / "w")
    for name in TABLES:
        catalog.create(TableName.parse(name), SCHEMA)
    return catalog


def renamed(catalog: Catalog, old: str, new: str) -> None:
    root = Path(catalog.root.removeprefix("file://"))
    (root / (old.replace(".", "/") + ".lance")).rename(root / (new.replace(".", "/") + ".lance"))


def names(published: list[Published]) -> list[str]:
    return [table.name for table in published]


def test_a_published_schema_opts_in_its_tables_and_later_ones_travel_once_they_are_opted_in(
    store: Store, catalog: Catalog
) -> None:
    outcome = pubs.create(store, catalog, "p", named("main.loop"))
    assert outcome.opted_in == ("main.loop.runs", "main.loop.scenes")
    assert outcome.failed == ()
    assert pubs.effective(store, catalog) == [
        Published("main.loop.runs", "hash(id)", ()),
        Published("main.loop.scenes", "hash(id)", ()),
    ]
    catalog.create(TableName("main", "loop", "later"), SCHEMA)
    assert names(pubs.effective(store, catalog)) == ["main.loop.runs", "main.loop.scenes"]
    opt_in(store, catalog, "main.loop.later", "replicated")
    assert Published("main.loop.later", "replicated") in pubs.effective(store, catalog)
    opt_out(store, "main.loop.runs")
    assert names(pubs.effective(store, catalog)) == ["main.loop.later", "main.loop.scenes"]


def test_a_table_that_is_opted_in_and_not_published_stays_at_home(store: Store, catalog: Catalog) -> None:
    opt_in(store, catalog, "main.loop.runs")
    assert pubs.effective(store, catalog) == []


def test_a_table_that_several_publications_name_is_published_once(store: Store, catalog: Catalog) -> None:
    pubs.create(store, catalog, "all", named("*"))
    pubs.create(store, catalog, "some", named("main", "main.loop.runs"))
    assert names(pubs.effective(store, catalog)) == sorted(TABLES)
    pubs.drop(store, ["all"])
    assert names(pubs.effective(store, catalog)) == sorted(TABLES[:3])


def test_users_rights_travel_with_a_table(store: Store, catalog: Catalog) -> None:
    pubs.create(store, catalog, "p", named("main.loop.runs"))
    rights = {"main.loop.runs": [("zoe", "select"), ("ann", "all")]}
    (found,) = pubs.effective(store, catalog, lambda table: rights.get(table, []))
    assert found.grants == (("ann", "all"), ("zoe", "select"))


def test_what_is_not_eligible_is_told_and_the_rest_is_published(
    store: Store, catalog: Catalog, tmp_path: Path
) -> None:
    table = catalog.open(TableName.parse("main.loop.runs"))
    clone = tmp_path / "w" / "main" / "loop" / "copied.lance"
    table.dataset.shallow_clone(str(clone), reference=table.version)
    out = tmp_path / "lists"
    outcome = pubs.create(store, catalog, "p", named("main.loop", "main.lop", "main.loop.copied", "x.y.z"), out)
    assert outcome.published == (Object("main", "loop"),)
    assert {str(failure.object) for failure in outcome.failed} == {"main.loop.copied", "main.lop", "x.y.z"}
    text = (out / publist.FAILED_LIST).read_text()
    assert "shallow clone" in text and "did you mean 'main.loop'?" in text
    assert read_objects(out / publist.FAILED_LIST) == tuple(named("main.loop.copied", "main.lop", "x.y.z"))
    assert pubs.standing(store, catalog).unfit == ()
    pubs.alter(store, catalog, "p", add=named("other"), folder=out)
    assert not (out / publist.FAILED_LIST).exists()


def test_a_published_table_that_becomes_unfit_is_an_error_until_it_is_mended(
    store: Store, catalog: Catalog
) -> None:
    pubs.create(store, catalog, "p", named("main.loop.runs"))
    table = catalog.open(TableName.parse("main.loop.runs"))
    table.dataset.create_branch("aside")
    now = pubs.standing(store, catalog)
    assert now.published == ()
    assert [reason.why for reason in now.unfit] == ["branches"]
    with pytest.raises(InputError, match="--disaster-recovery off"):
        pubs.effective(store, catalog)  # leaving it out would let the other site drop it
    table.dataset.branches.delete("aside")
    assert names(pubs.effective(store, catalog)) == ["main.loop.runs"]


def test_where_everything_fails_no_publication_is_made(store: Store, catalog: Catalog) -> None:
    outcome = pubs.create(store, catalog, "p", named("main.loop.rums"))
    assert outcome.published == ()
    assert "did you mean 'main.loop.runs'" in outcome.failed[0].why
    assert pubs.publications(store) == []


def test_a_renamed_table_stays_published_and_so_does_one_that_is_made_again(
    store: Store, catalog: Catalog
) -> None:
    pubs.create(store, catalog, "p", named("main.loop.runs", "main.acquire.images"))
    opt_in(store, catalog, "main.acquire.images", "roundrobin")
    renamed(catalog, "main.acquire.images", "main.acquire.pictures")
    catalog.drop(TableName.parse("main.loop.runs"))
    assert pubs.effective(store, catalog) == [Published("main.acquire.pictures", "roundrobin")]
    catalog.create(TableName.parse("main.loop.runs"), SCHEMA)
    assert names(pubs.effective(store, catalog)) == ["main.acquire.pictures", "main.loop.runs"]
    assert pubs.current(store) == tuple(named("main.acquire.pictures", "main.loop.runs"))
    identities = {row.identity for row in opted(store).values()}
    assert identities == {catalog.open(TableName.parse(name)).identity for name in opted(store)}


def test_two_tables_that_change_their_names_take_their_distributions_along(store: Store, catalog: Catalog) -> None:
    pubs.create(store, catalog, "p", named("main.loop"))
    opt_in(store, catalog, "main.loop.runs", "replicated")
    renamed(catalog, "main.loop.runs", "main.loop.aside")
    renamed(catalog, "main.loop.scenes", "main.loop.runs")
    renamed(catalog, "main.loop.aside", "main.loop.scenes")
    assert pubs.effective(store, catalog) == [
        Published("main.loop.runs", "hash(id)"),
        Published("main.loop.scenes", "replicated"),
    ]


def test_a_distribution_by_a_column_that_is_gone_falls_back_to_the_key(store: Store, catalog: Catalog) -> None:
    pubs.create(store, catalog, "p", named("main.loop.runs"))
    opt_in(store, catalog, "main.loop.runs", "hash(n)")
    catalog.drop(TableName.parse("main.loop.runs"))
    catalog.create(TableName.parse("main.loop.runs"), Schema((Field("id", FieldType.STRING),), "id"))
    assert pubs.effective(store, catalog) == [Published("main.loop.runs", "hash(id)")]


def test_a_part_of_what_is_published_is_added_only_by_force(store: Store, catalog: Catalog) -> None:
    pubs.create(store, catalog, "p", named("main.loop", "other"))
    outcome = pubs.alter(store, catalog, "p", add=named("main.loop.runs", "main.acquire"))
    assert outcome.published == (Object("main", "acquire"),)
    assert "--force-alter" in outcome.failed[0].why
    outcome = pubs.alter(store, catalog, "p", add=named("main.loop.runs"), force=True)
    assert outcome.withdrawn == (Object("main", "loop"),)
    assert pubs.current(store) == tuple(named("main.acquire", "main.loop.runs", "other"))
    outcome = pubs.alter(store, catalog, "p", add=named("main"))
    assert set(outcome.withdrawn) == set(named("main.acquire", "main.loop.runs"))


def test_an_object_is_withdrawn_by_name_alone(store: Store, catalog: Catalog) -> None:
    pubs.create(store, catalog, "p", named("main.loop", "other"))
    with pytest.raises(UnknownName, match=r"main\.loop"):
        pubs.alter(store, catalog, "p", drop=named("main.loop.runs"))
    assert pubs.alter(store, catalog, "p", drop=named("other")).withdrawn == (Object("other"),)
    pubs.alter(store, catalog, "p", drop=named("main.loop"))
    assert pubs.publications(store) == []


def test_cancelling_takes_objects_out_of_every_publication(store: Store, catalog: Catalog, tmp_path: Path) -> None:
    pubs.create(store, catalog, "p", named("main.loop", "other"))
    pubs.create(store, catalog, "q", named("other"))
    outcome = pubs.cancel(store, named("other", "main.loop.runs", "gone"), tmp_path)
    assert outcome.withdrawn == (Object("other"),)
    assert {failure.why for failure in outcome.failed} == {
        "it is published as a part of main.loop",
        "no publication names it",
    }
    assert [item.name for item in pubs.publications(store)] == ["p"]
    assert len(read_objects(tmp_path / publist.FAILED_LIST)) == 2
    assert pubs.cancel(store, None, tmp_path).withdrawn == (Object("main", "loop"),)
    assert pubs.publications(store) == []
    assert publist.read_pub_list(tmp_path / publist.PUB_LIST) == []
    assert not (tmp_path / publist.FAILED_LIST).exists()


def test_a_site_that_takes_over_publishes_what_it_was_sent_as_it_was_sent(store: Store, catalog: Catalog) -> None:
    pubs.create(store, catalog, "old", named("other"))
    tables = [Published("main.loop.runs", "replicated"), Published("main.loop.scenes", "hash(n)")]
    adopt(store, catalog, tables, {})
    assert pubs.effective(store, catalog) == tables
    assert pubs.publications(store) == [
        publist.Publication(pubs.CLASSIC, tuple(named("main.loop.runs", "main.loop.scenes")))
    ]


def test_publications_are_taken_over_as_they_were_and_tables_of_the_site_s_own_stay_its_own(
    store: Store, catalog: Catalog
) -> None:
    pubs.create(store, catalog, "own", named("main"))
    tables = [Published("main.loop.runs", "replicated")]
    told = {"all": (Object(),), "some": tuple(named("main.loop.runs", "main.gone.t"))}
    for _ in range(2):  # again it changes nothing
        adopt(store, catalog, tables, told)
        assert pubs.effective(store, catalog) == tables
        assert pubs.publications(store) == [
            publist.Publication("all", (Object(),)),
            publist.Publication("some", tuple(named("main.gone.t", "main.loop.runs"))),
        ]
    opt_in(store, catalog, "main.loop.scenes")
    assert names(pubs.effective(store, catalog)) == ["main.loop.runs", "main.loop.scenes"]
    renamed(catalog, "main.loop.runs", "main.loop.old")
    assert names(pubs.effective(store, catalog)) == ["main.loop.old", "main.loop.scenes"]
    assert pubs.publication(store, "some").objects == tuple(named("main.gone.t", "main.loop.old"))


def test_a_site_that_was_not_told_of_publications_goes_on_with_its_own(store: Store, catalog: Catalog) -> None:
    pubs.create(store, catalog, "p", named("main.loop"))
    tables = [Published("main.acquire.images", "hash(id)"), Published("main.loop.runs", "hash(id)")]
    adopt(store, catalog, tables)
    assert pubs.effective(store, catalog) == tables
    assert pubs.publications(store) == [
        publist.Publication(pubs.CLASSIC, tuple(named("main.acquire.images"))),
        publist.Publication("p", tuple(named("main.loop"))),
    ]


def test_a_site_that_takes_over_publishes_renamed_tables_beside_copies_that_were_kept_of_them(
    store: Store, catalog: Catalog
) -> None:
    pubs.create(store, catalog, "p", named("main"))
    renamed(catalog, "main.loop.runs", "main.loop.old")  # while the other site was the primary
    renamed(catalog, "main.loop.scenes", "main.loop.runs")
    root = Path(catalog.root.removeprefix("file://"))
    shutil.copytree(root / "main/loop/old.lance", root / "main/quarantine/runs.lance")
    tables = [Published("main.loop.old", "replicated"), Published("main.loop.runs", "hash(id)")]
    for told in (None, {}, {"p": tuple(named("main"))}):
        for _ in range(2):
            adopt(store, catalog, tables, told)
            assert pubs.effective(store, catalog) == tables


def test_publications_survive_in_the_site_s_file(tmp_path: Path, catalog: Catalog) -> None:
    with Store(tmp_path / "state.sqlite") as store:
        pubs.create(store, catalog, "p", named("main.loop"))
    with Store(tmp_path / "state.sqlite") as store:
        assert names(pubs.effective(store, catalog)) == ["main.loop.runs", "main.loop.scenes"]


def test_statements_do_what_the_commands_do(store: Store, catalog: Catalog, tmp_path: Path) -> None:
    pubs.execute(
        store,
        catalog,
        """-- the loop's tables
        CREATE PUBLICATION p FOR ALL TABLES IN SCHEMA main.loop, other.loop, TABLE main.acquire.images;
        alter publication P drop table main.acquire.images;
        ALTER PUBLICATION p RENAME TO q; CREATE PUBLICATION everything FOR ALL TABLES;""",
        tmp_path,
    )
    assert pubs.publications(store) == [
        publist.Publication("everything", (Object(),)),
        publist.Publication("q", (Object("main", "loop"), Object("other", "loop"))),
    ]
    assert publist.read_pub_list(tmp_path / publist.PUB_LIST) == pubs.publications(store)
    (outcome,) = pubs.execute(store, catalog, "ALTER PUBLICATION q ADD TABLE main.loop.runs")
    assert outcome.failed
    pubs.execute(store, catalog, "ALTER PUBLICATION q SET TABLE main.loop.runs; DROP PUBLICATION everything")
    assert pubs.current(store, tmp_path / "now.txt") == tuple(named("main.loop.runs"))
    assert read_objects(tmp_path / "now.txt") == tuple(named("main.loop.runs"))
    assert pubs.execute(store, catalog, "DROP PUBLICATION IF EXISTS nobody, q CASCADE")[0].publication == "q"
    with pytest.raises(UnknownName):
        pubs.execute(store, catalog, "DROP PUBLICATION q")


def test_a_database_is_left_out_where_there_is_only_one(store: Store, catalog: Catalog) -> None:
    with pytest.raises(InputError, match=r"line 1, column 32: a name such as database\.schema\.table"):
        pubs.execute(store, catalog, "CREATE PUBLICATION p FOR TABLE loop.runs")
    catalog.drop(TableName.parse("other.loop.runs"))
    pubs.execute(store, catalog, "CREATE PUBLICATION p FOR TABLE loop.runs, ALL TABLES IN SCHEMA acquire")
    assert pubs.current(store) == (Object("main", "acquire"), Object("main", "loop", "runs"))


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("", "no statement"),
        ("CREATE", "line 1, column 7: the statement ends where PUBLICATION"),
        ("CREATE PUBLICATON p FOR ALL TABLES", "line 1, column 8: PUBLICATION should stand where 'PUBLICATON'"),
        ("CREATE TABLE x (a int)", "line 1, column 8"),
        ("SELECT 1", "line 1, column 1: CREATE or ALTER or DROP"),
        ("CREATE PUBLICATION p", "line 1, column 21: the statement ends where FOR"),
        ("CREATE PUBLICATION p FOR\n  TABLES a", "line 2, column 10: IN should stand where 'a'"),
        ("CREATE PUBLICATION p FOR TABLE a.b.c.d", "line 1, column 32"),
        ("CREATE PUBLICATION p FOR TABLE a.b.c d", "line 1, column 38: the end of the statement"),
        ("CREATE PUBLICATION p FOR TABLE a.b.c,", "line 1, column 38: the statement ends"),
        ("CREATE PUBLICATION p FOR TABLE a.b.1c", "line 1, column 36"),
        ("CREATE PUBLICATION p FOR TABLE a.b.'c'", "line 1, column 36"),
        ('CREATE PUBLICATION p FOR TABLE a.b."C"', "line 1, column 36: 'C' is no table name part"),
        ("CREATE PUBLICATION p FOR ALL TABLES IN a", "line 1, column 40: SCHEMA or DATABASE"),
        ("ALTER PUBLICATION p OWNER TO me", "line 1, column 21: ADD or DROP or SET or RENAME"),
        ("ALTER PUBLICATION p ADD ALL TABLES", "ends where IN"),
        ("DROP PUBLICATION", "ends where a name"),
        ("DROP PUBLICATION p q", "line 1, column 20"),
        ('CREATE PUBLICATION "p FOR ALL TABLES', "syntax error"),
        ("CREATE PUBLICATION p FOR ALL TABLES WITH (publish = 'insert')", "line 1, column 37"),
    ],
)
def test_what_is_wrong_in_a_statement_is_told_at_its_token(text: str, place: str) -> None:
    with pytest.raises(InputError) as caught:
        sql.parse(text)
    assert place in str(caught.value)
    assert "\n" not in str(caught.value)


def test_tables_may_be_called_like_words_of_the_language() -> None:
    (found,) = sql.parse("CREATE PUBLICATION table FOR TABLE in.schema.table, all.tables.for, TABLE a.b.index")
    assert found == sql.Create("table", (*named("in.schema.table", "all.tables.for", "a.b.index"),))


PART = st.from_regex(r"[a-z][a-z0-9_]{0,5}", fullmatch=True)
OBJECTS = st.lists(PART, max_size=3).map(lambda parts: Object(*parts))


@given(PART, st.sets(OBJECTS, min_size=1, max_size=8))
def test_a_publication_is_read_from_the_statement_that_it_is_written_as(name: str, objects: set[Object]) -> None:
    (found,) = sql.parse(sql.written(name, tuple(objects)))
    assert isinstance(found, sql.Create)
    assert found.name == name
    assert set(found.objects) == ({Object()} if Object() in objects else objects)


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused_in_one_line(text: str) -> None:
    for begun in (text, f"CREATE PUBLICATION {text}", f"CREATE PUBLICATION p FOR TABLE {text}"):
        try:
            sql.parse(begun)
        except InputError as error:
            assert error.what


@given(st.lists(OBJECTS, min_size=1, unique=True), st.text(alphabet="ab #/\n\t*", max_size=20))
def test_a_list_of_objects_is_read_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, objects: list[Object], remark: str
) -> None:
    path = tmp_path_factory.mktemp("list") / "objects.txt"
    write_objects(path, objects, dict.fromkeys(objects, remark))
    assert read_objects(path) == tuple(objects)


def test_all_mistakes_of_a_list_are_told_with_their_lines(tmp_path: Path) -> None:
    path = tmp_path / "objects.txt"
    path.write_text("main            // a database\n\nMain.loop\nmain.loop.runs  # a table\na.b.c.d\n")
    with pytest.raises(ConfigError) as caught:
        read_objects(path)
    assert [mistake.line for mistake in caught.value.mistakes] == [3, 5]
    path.write_text("# nothing\n")
    with pytest.raises(InputError, match="names no object"):
        read_objects(path)
    with pytest.raises(InputError, match="correct the path"):
        read_objects(tmp_path / "nowhere")
