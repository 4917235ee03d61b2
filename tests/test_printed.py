"""What the paper's printed counts say about luck."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fishlib.scores import evaluation, printed


def test_crop_against_original_had_at_least_41_discordant_photos_and_can_be_luck():
    row = printed.contrasts().set_index(["family", "variant"]).loc[("table 2", "crop")]
    assert (row["n_correct"], row["n_correct_against"], row["n"]) == (445, 440, 601)
    assert (row["only_variant_min"], row["only_against_min"]) == (23, 18)
    assert row["p_min"] == pytest.approx(0.5327, abs=1e-4)
    assert row["luck"] == printed.COULD_BE


def test_what_each_printed_table_tells():
    frame = printed.contrasts()
    told = frame.groupby("family")["luck"].unique().map(list).to_dict()
    assert told == {
        "exploratory": [printed.CANNOT_BE],  # table 1: GDINO-SAM cuts better than Detic and SAM-CLIP
        "table 2": [printed.COULD_BE],
        "table 3": [printed.OPEN],
        "table 4": [printed.OPEN],
    }
    assert frame.groupby("family").size().to_dict() == {"exploratory": 2, "table 2": 3, "table 3": 4, "table 4": 5}


def test_bounds_of_two_rows_by_hand():
    """5 and 3 of 6 right, then 0 and 2 of 2: at least 2 lost and 2 won; at most 3 + 0 lost, 1 + 2 won."""
    assert printed.discordant([5, 0], [3, 2], [6, 2]) == printed.Bounds(2, 3, 2, 3)


def test_more_right_than_photos_is_refused():
    with pytest.raises(ValueError, match="More photos are right"):
        printed.discordant(7, 3, 6)


ROW = st.integers(1, 4).flatmap(lambda n: st.tuples(st.integers(0, n), st.integers(0, n), st.just(n)))


@given(st.lists(ROW, min_size=1, max_size=3))
def test_p_has_its_range_over_all_tables_with_these_counts(rows):
    """Every table of single photos with the same counts a row, one after the other."""
    seen = set()
    ways = [[(a - both, b - both) for both in range(max(0, a + b - n), min(a, b) + 1)] for a, b, n in rows]
    for cells in itertools.product(*ways):
        only_first, only_second = np.sum(cells, axis=0)
        first = [1] * only_first + [0] * only_second + [0]
        second = [0] * only_first + [1] * only_second + [0]
        seen.add(evaluation.mcnemar(first, second)["p_value"])
    found = printed.p_range(printed.discordant(*np.transpose(rows)))
    assert found == pytest.approx((min(seen), max(seen)))
