import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fishlib.errors import UserError
from fishlib.photos.draws import draw_shots, split_half

PINNED = ["a/22.jpg", "a/44.jpg", "b/18.jpg", "b/47.jpg"]


def manifest(**counts):
    names = [(f"{s}/{i}.jpg", s) for s, n in counts.items() for i in range(n)]
    return pd.DataFrame(names, columns=["photo_id", "species"])


@given(st.integers(0, 2**32), st.integers(0, 99), st.randoms())
def test_draws_are_nested_and_independent(seed, trial, random):
    all_rows = manifest(a=7, b=6, キハダ=9)
    draws = [draw_shots(all_rows, k, trial, seed) for k in range(1, 6)]
    for k, draw in enumerate(draws, 1):
        assert len(set(draw)) == 3 * k
        assert set(draw) <= set(draws[-1])
    order = list(range(len(all_rows)))
    random.shuffle(order)
    assert draw_shots(all_rows.iloc[order], 5, trial, seed) == draws[-1]
    alone = all_rows[all_rows["species"] != "b"]
    assert draw_shots(alone, 5, trial, seed) == [p for p in draws[-1] if p[0] != "b"]


def test_draws_are_the_same_everywhere_and_differ_by_trial():
    rows = manifest(a=50, b=50)
    assert draw_shots(rows, 2, 0, 0) == PINNED
    draws = {tuple(draw_shots(rows, 3, trial, seed)) for trial in range(5) for seed in range(5)}
    assert len(draws) == 25
    a, b = (draw_shots(rows, 10, 0, 0)[i : i + 10] for i in (0, 10))
    assert [x[1:] for x in a] != [x[1:] for x in b]


def test_too_few_photos_are_named():
    with pytest.raises(UserError, match=r"a \(5\)"):
        draw_shots(manifest(a=5, b=6), 5, 0, 0)


def test_halves():
    rows = manifest(a=7, b=2, c=1)
    train, test, alone = split_half(rows, 3)
    assert alone == ["c"]
    assert sorted(train + test) == sorted(rows["photo_id"][:9])
    assert [sum(p[0] == s for p in train) for s in "ab"] == [3, 1]
    assert split_half(rows.iloc[::-1], 3) == (train, test, alone)
    assert split_half(rows, 4)[0] != train
