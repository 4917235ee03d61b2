"""Photos that belong together: read, found, joined, and kept on one side of every split."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fishlib.errors import UserError
from fishlib.photos import draws, groups

IDS = ["cod/1.jpg", "cod/2.jpg", "tuna/ガ.jpg", "tuna/4.jpg"]


def write(tmp_path, text, encoding="utf-8"):
    path = tmp_path / "groups.csv"
    path.write_text(text, encoding=encoding)
    return path


def table(ids, contents=None):
    contents = contents or [f"hash {i}" for i in range(len(ids))]
    return pd.DataFrame({"photo_id": ids, "species": [i.split("/")[0] for i in ids], "sha256": contents})


def test_without_a_file_there_are_no_groups_and_nothing_is_said(tmp_path):
    assert groups.read(tmp_path / "groups.csv", IDS) == (None, [])
    assert groups.of_photos(tmp_path / "groups.csv", table(IDS)) == (None, [])


def test_groups_are_read_as_people_write_them(tmp_path):
    # as Excel writes it; Japanese decomposed, as another system spells it; a photo that was deleted since
    text = "Photo_ID;Group\ncod/1.jpg; trip a\ntuna/カ\u3099.jpg;trip a\ncod/2.jpg;\ncod/9.jpg;trip a\n"
    found, notes = groups.read(write(tmp_path, text, "utf-8-sig"), IDS)
    assert found.to_dict() == {IDS[0]: "trip a", IDS[1]: IDS[1], IDS[2]: "trip a", IDS[3]: IDS[3]}
    assert notes == [
        "groups.csv: 1 of its 4 photos are not in this study (first: cod/9.jpg).",
        "2 of 4 photos have no group in groups.csv; each counts as a group of its own.",
    ]


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("photo_id,group\n", "gives no photo of this study a group"),
        ("photo_id,group\nelsewhere/1.jpg,a\n", "gives no photo of this study a group"),
        ("photo_id,group\n" + "".join(f"{p},{i}\n" for i, p in enumerate(IDS)), "puts no two photos into one group"),
    ],
)
def test_a_file_that_changes_nothing_says_so(tmp_path, text, note):
    found, notes = groups.read(write(tmp_path, text), IDS)
    assert found is None
    assert note in notes[-1]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("photo_id,trip\ncod/1.jpg,a\n", "groups.csv"),
        ("photo_id,group\n,a\n", "row 2, names no photo"),
        ("photo_id,group\ncod/1.jpg,a\ncod/1.jpg,b\n", "row 3, puts cod/1.jpg into a second group"),
    ],
)
def test_mistakes_are_named(tmp_path, text, says):
    with pytest.raises(UserError, match=says):
        groups.read(write(tmp_path, text), IDS)


def test_a_single_group_is_no_group_and_the_promise_is_named(tmp_path):
    text = "photo_id,group\n" + "".join(f"{p},trip\n" for p in IDS)
    found, [note] = groups.of_photos(write(tmp_path, text), table(IDS))
    assert found is None
    assert "All 4 photos are in one group" in note and "promise too much" in note


def pictures():
    random = np.random.default_rng(0)
    coarse = random.integers(0, 255, (4, 12, 12, 3), dtype=np.uint8)
    return {photo: np.kron(c, np.ones((20, 20, 1), np.uint8)) for photo, c in zip(IDS, coarse, strict=True)}


def test_photos_that_look_alike_or_have_the_same_bytes_are_pairs():
    looks = pictures()
    looks[IDS[3]] = np.clip(looks[IDS[0]].astype(int) + 8, 0, 255).astype(np.uint8)  # brighter, the same scene
    asked = []

    def look(photo_id):
        asked.append(photo_id)
        return looks[photo_id]

    same_bytes = table(IDS, ["x", "x", "y", "z"])
    found = groups.near_duplicates(same_bytes, look)
    assert found == [(IDS[0], IDS[1]), (IDS[0], IDS[3]), (IDS[1], IDS[3])]
    assert IDS[1] not in asked  # the same bytes are decoded once
    assert groups.near_duplicates(table(IDS), pictures().get) == []
    assert groups.near_duplicates(table(IDS[:1]), look) == []


def test_pairs_are_found_beyond_the_first_rows(monkeypatch):
    monkeypatch.setattr(groups, "ROWS", 1)
    looks = pictures()
    looks[IDS[2]] = looks[IDS[3]]
    assert groups.near_duplicates(table(IDS), looks.get) == [(IDS[2], IDS[3])]


def test_photos_that_look_alike_join_their_groups(tmp_path):
    text = "photo_id,group\ncod/1.jpg,a\ncod/2.jpg,a\ntuna/ガ.jpg,b\n"
    looks = pictures()
    looks[IDS[2]] = looks[IDS[1]]
    found, notes = groups.of_photos(write(tmp_path, text), table(IDS), looks.get)
    assert found.to_dict() == {IDS[0]: "a", IDS[1]: "a", IDS[2]: "a", IDS[3]: IDS[3]}
    assert notes[-1] == f"2 photos look the same as another (first: {IDS[1]} and {IDS[2]}) and share its group."


def test_near_duplicates_alone_make_groups(tmp_path):
    looks = pictures()
    looks[IDS[3]] = looks[IDS[0]]
    found, _ = groups.of_photos(tmp_path / "groups.csv", table(IDS), looks.get)
    assert found.to_dict() == {IDS[0]: IDS[0], IDS[1]: IDS[1], IDS[2]: IDS[2], IDS[3]: IDS[0]}


def test_pairs_join_in_chains():
    joined = groups.merged(None, "abcde", [("a", "c"), ("c", "e")])
    assert joined.to_dict() == {"a": "a", "b": "b", "c": "a", "d": "d", "e": "a"}
    assert groups.merged(None, "abc", []) is None


def test_companions_of_drawn_photos_leave_the_evaluation():
    trips = pd.Series(["t", "t", "u", "u", "v"], index=list("abcde"))
    assert groups.sharing(["a", "c"], trips) == ["b", "d"]
    assert groups.sharing(["a", "b", "e"], trips) == []
    assert groups.sharing(["a"], None) == []


def test_without_groups_the_first_half_split_is_the_study_s_and_the_others_differ():
    photos = table([f"{s}/{i}.jpg" for s in ("cod", "tuna") for i in range(8)])
    found = groups.halves(photos, 3)
    assert found[0] == draws.split_half(photos, 3)
    assert len({tuple(sorted(train)) for train, _, _ in found}) == groups.SPLITS


SPECIES_AND_TRIP = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 7)), min_size=2, max_size=40)


@settings(deadline=None, max_examples=60)
@given(SPECIES_AND_TRIP, st.integers(0, 3))
def test_half_splits_keep_groups_whole_and_every_species_on_both_sides(photos, seed):
    frame = table([f"{s}/{i}.jpg" for i, (s, _) in enumerate(photos)])
    trips = pd.Series([str(trip) for _, trip in photos], index=frame["photo_id"])
    species = frame.set_index("photo_id")["species"]
    for train, test, lost in groups.halves(frame, seed, trips, splits=2):
        assert not set(trips[train]) & set(trips[test])
        assert set(species[train]) == set(species[test])
        assert sorted([*train, *test, *frame["photo_id"][frame["species"].isin(lost)]]) == sorted(frame["photo_id"])
        one_trip = trips.groupby(species).nunique() == 1
        assert set(one_trip.index[one_trip]) <= set(lost)


def test_half_splits_of_groups_come_near_to_half_of_each_species():
    rows = [(s, trip) for s in ("cod", "tuna") for trip in range(10) for _ in range(6)]
    frame = table([f"{s}/{i}.jpg" for i, (s, _) in enumerate(rows)])
    trips = pd.Series([f"{s} {trip}" for s, trip in rows], index=frame["photo_id"])
    for train, _, lost in groups.halves(frame, 0, trips):
        assert lost == []
        in_train = frame[frame["photo_id"].isin(train)]["species"].value_counts()
        assert in_train.to_dict() == {"cod": 30, "tuna": 30}
    assert groups.halves(frame, 0, trips) == groups.halves(frame, 0, trips)
