import pytest

from fishlib.photos import species
from fishlib.scores import published


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_every_printed_percentage_is_a_count_over_n(n):
    frame = published.table(n)
    columns = [c.removesuffix("_count") for c in frame if c.endswith("_count")]
    assert columns
    for column in columns:
        again = (100 * frame[f"{column}_count"] / frame["n"]).round(1)
        assert (again == frame[column]).all(), column


def test_counts_of_table_1_add_up_to_the_printed_totals():
    total = published.totals(1)
    assert [total[c] for c in ("n", "detic_count", "sam_clip_count", "gdino_sam_count")] == [
        601,
        544,
        396,
        575,
    ]
    assert [total[c] for c in ("detic", "sam_clip", "gdino_sam")] == [90.5, 65.9, 95.7]


def test_counts_of_table_2_add_up_to_the_printed_totals():
    total, columns = published.totals(2), ["original", "crop", "mask", "crop_mask"]
    assert [total[f"{c}_count"] for c in columns] == [440, 445, 437, 441]
    assert [total[c] for c in columns] == [73.2, 74.0, 72.7, 73.4]


def test_the_plain_variant_prints_the_same_in_tables_2_3_and_4():
    crop_mask = published.totals(2)["crop_mask_count"]
    assert published.table(3).set_index("background").loc["black", "micro_f1_count"] == crop_mask
    assert published.table(4).set_index("n_dilations").loc[0, "micro_f1_count"] == crop_mask


@pytest.mark.parametrize("n", [1, 2])
def test_rows_are_the_17_species_in_order(n):
    rows = published.table(n)[["name_ja", "scientific_name"]].to_dict("records")
    assert rows == [{k: s[k] for k in ("name_ja", "scientific_name")} for s in species.all_species()]


def test_a_cell_as_printed():
    row = published.table(1).set_index("name_ja").loc["ヒラソウダ"]
    assert (row["n"], row["sam_clip"], row["sam_clip_count"]) == (47, 34.0, 16)


def test_there_is_no_fifth_table():
    with pytest.raises(ValueError, match="1 to 4"):
        published.table(5)
