from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dealing import LONG, dealt

FILES = st.lists(
    st.tuples(
        st.sampled_from([f"{LONG[0]}a.py", f"{LONG[0]}b.py", f"{LONG[1]}c.py", "tests/d.py", "tests/e.py"]),
        st.integers(1, 9),
    ),
    unique_by=lambda pair: pair[0],
)


@given(FILES, st.integers(1, 6))
def test_every_test_is_dealt_once_and_those_of_a_long_file_stay_together(
    counted: list[tuple[str, int]], processes: int
) -> None:
    files = [file for file, count in counted for _ in range(count)]
    order = dealt(files, processes)
    assert sorted(order) == list(range(len(files)))
    for file in {file for file in files if file.startswith(LONG)}:
        places = [place for place, index in enumerate(order) if files[index] == file]
        assert places == list(range(places[0], places[-1] + 1))


def test_each_process_has_long_ones_none_at_its_end_and_short_ones_between() -> None:
    files = [f"tests/d{number}.py" for number in range(90)] + [f"{LONG[0]}{number}.py" for number in range(10)]
    order = [files[index] for index in dealt(files, 5)]
    first = set()
    for process in range(5):
        places = [place for place in range(20) if order[process * 20 + place].startswith(LONG)]
        assert len(places) == 2 and places[1] - places[0] > 5 and places[1] < 18
        first.add(places[0])
    assert len(first) > 3, "not all of them at the same time"
