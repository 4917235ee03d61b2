"""Which species is named worst and why, on answers small enough to count by hand."""

import pandas as pd
import pytest

from fishlib.show import worst

INPUTS = ("original", "crop", "mask", "crop_mask")


def answers(**species: list[str]) -> pd.DataFrame:
    """species -> a word a photo, a letter an input: 1 right, 0 named as `other`."""
    rows = []
    for name, photos in species.items():
        for i, word in enumerate(photos):
            for variant, letter in zip(INPUTS, word, strict=True):
                right = int(letter)
                predicted = name if right else "other"
                rows.append([f"{name}/{i}.png", name, variant, predicted, 0.5 + i / 100, right, 1])
    columns = ["photo_id", "species", "variant", "predicted", "confidence", "correct", "counted"]
    return pd.DataFrame(rows, columns=columns)


def test_the_worst_input_counts_not_the_original():
    found = worst.ranked(answers(a=["1011"] * 5, b=["0111", "1111", "1111", "1111", "1111"]), pd.Series(dtype=float))
    assert [one.species for one in found] == ["a", "b"]
    assert found[0].variant == "crop" and found[0].recall == 0 and found[0].taken_for == {"other": 5}
    assert worst.said(found[0]) == "0 of 5 right with Crop (95 % interval 0 to 43 %)"
    assert found[0].photos == tuple(f"a/{i}.png" for i in (4, 3, 2, 1, 0))  # the surest first
    assert worst.apart(found).species == "a" and worst.apart(found).spread == 100


@pytest.mark.parametrize(
    ("photo", "well_cut", "cause"),
    [
        ("0000", 1, worst.LOOK),
        ("0010", 0, worst.BACKGROUND),
        ("0100", 1, worst.BACKGROUND),
        ("1010", 1, worst.FRAME),
        ("1000", 0, worst.MASK),
        ("1100", 1, worst.REMOVAL),
        ("1100", float("nan"), worst.UNJUDGED),
        ("1111", 0, None),
    ],
)
def test_what_is_to_blame_for_a_photo(photo, well_cut, cause):
    [one] = worst.ranked(answers(a=[photo]), pd.Series({"a/0.png": well_cut}))
    assert one.causes == ({cause: 1} if cause else {})


def test_the_sentence_says_the_largest_part_and_the_rest():
    photos = ["0000", "0000", "0000", "1000", "1111"]
    [one] = worst.ranked(answers(a=photos), pd.Series({"a/3.png": 0.0}))
    assert worst.why(one) == (
        "Neither the mask nor the background is to blame for most of them. Of 4 photos named wrong in any input, 3 are "
        "wrong in all four inputs; 1 right as taken, wrong with the background painted over, and badly cut out."
    )
    [even] = worst.ranked(answers(a=["0000", "1000"]), pd.Series({"a/1.png": 0.0}))
    assert worst.why(even).startswith("Neither the mask nor the background is to blame for the largest part of them")
    [good] = worst.ranked(answers(a=["1111"]), pd.Series(dtype=float))
    assert worst.why(good) == "No photo of it is named wrong." and worst.apart([good]) is None


def test_a_species_of_few_photos_is_not_the_worst_where_others_have_more():
    found = worst.ranked(answers(few=["0000"] * 4, many=["1110"] * 5), pd.Series(dtype=float))
    assert [one.species for one in found] == ["many", "few"]
