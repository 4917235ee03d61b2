"""Drawn fish: the trait table, same bytes from the same seed, disjoint alphas, counted finlets, marks."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fishlib.phantom import traits
from fishlib.phantom.fish import draw_fish

TABLE = traits.load()
NAMES = list(TABLE)
PAPER = [name for name in NAMES if TABLE[name]["source"] != "invented"]


def _draw(name, seed=0, length=220, specimen=False, **changes):
    return draw_fish(TABLE[name] | changes, np.random.default_rng(seed), length, specimen)


def _pieces(fish, large=4):
    """Connected pieces of fin beside the body."""
    count, _, stats, _ = cv2.connectedComponentsWithStats((fish.fins > 0.3).astype(np.uint8), connectivity=4)
    return int((stats[1:count, cv2.CC_STAT_AREA] >= large).sum())


def test_seventeen_species_of_the_paper_come_first_then_the_invented_ones():
    assert len(PAPER) == 17 and NAMES[:17] == PAPER
    assert PAPER[0] == "Gymnosarda_unicolor" and PAPER[-1] == "Thunnus_obesus"
    assert len(NAMES) - 17 >= 45 and all(name.startswith("Invented_") for name in NAMES[17:])


def test_load_gives_numbers_ranges_colours_and_patterns():
    t = TABLE["Katsuwonus_pelamis"]
    assert t["depth"] == 0.25 and t["finlets_dorsal"] == (7, 9) and t["tip_colour"] is None
    assert len(t["belly"]) == 3 and all(0 <= c <= 1 for c in t["belly"])
    assert t["belly_pattern"][0][0] == "stripes" and t["belly_pattern"][0][1]["n"] == (4, 6)
    traits.load()["Katsuwonus_pelamis"].clear()  # a caller's change stays with the caller
    assert traits.load()["Katsuwonus_pelamis"] == t


def test_a_median_keel_is_absent_only_in_scomber_and_rastrelliger():
    assert {n.split("_")[0] for n in PAPER if not TABLE[n]["keel"]} == {"Scomber", "Rastrelliger"}


@pytest.mark.parametrize("specimen", [False, True])
def test_the_same_seed_gives_the_same_bytes_and_another_seed_another_fish(specimen):
    a, b, c = (_draw("Thunnus_obesus", seed, specimen=specimen) for seed in (4, 4, 5))
    assert all(x.tobytes() == y.tobytes() for x, y in zip(a, b, strict=True))
    assert a.rgb.shape != c.rgb.shape or a.rgb.tobytes() != c.rgb.tobytes()


def test_the_random_numbers_of_others_change_nothing():
    before = _draw("Auxis_rochei", 1)
    np.random.default_rng(1).random(10)
    np.random.seed(0)
    assert _draw("Auxis_rochei", 1).rgb.tobytes() == before.rgb.tobytes()


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(NAMES), st.integers(0, 2**32 - 1), st.integers(120, 330), st.booleans())
def test_any_fish_is_one_whole_body_with_disjoint_fins(name, seed, length, specimen):
    fish = _draw(name, seed, length, specimen)
    assert fish.rgb.shape == (*fish.body.shape, 3) and fish.fins.shape == fish.body.shape
    for layer in fish:
        assert layer.dtype == np.float32 and np.isfinite(layer).all()
        assert layer.min() >= 0 and layer.max() <= 1
    total = fish.body + fish.fins
    assert total.max() <= 1 + 1e-6
    for edge in (total[0], total[-1], total[:, 0], total[:, -1]):
        assert edge.max() < 0.05  # nothing is cut off
    assert cv2.connectedComponents((fish.body > 0.5).astype(np.uint8))[0] == 2  # background and one body
    columns = np.flatnonzero((total > 0.3).any(axis=0))
    assert abs(columns[-1] - columns[0] + 1 - length) <= 0.05 * length + 2
    assert 0.02 * fish.body.sum() < fish.fins.sum() < fish.body.sum()


@pytest.mark.parametrize("name", PAPER)
def test_finlets_are_drawn_one_by_one(name):
    t = TABLE[name]
    bare = _pieces(_draw(name, 3, 560, True, finlets_dorsal=0.0, finlets_anal=0.0))
    for key in ("finlets_dorsal", "finlets_anal"):
        wanted = float(np.max(t[key]))
        others = {"finlets_dorsal": 0.0, "finlets_anal": 0.0} | {key: wanted}
        assert _pieces(_draw(name, 3, 560, True, **others)) - bare == wanted


def test_a_large_yellowfin_has_longer_fins_than_a_small_one():
    def area(length):
        return _draw("Thunnus_albacares", 2, 300, True, d2_len=length, d2_len_small=length).fins.sum()

    assert area(0.27) > 1.15 * area(0.12)


def test_a_specimen_lies_straight_and_an_angler_s_fish_may_be_bent():
    def sag(fish):
        rows = np.arange(fish.body.shape[0])[:, None]
        middle = (fish.body * rows).sum(0) / np.maximum(fish.body.sum(0), 1e-6)
        width = fish.body.shape[1]
        return abs(middle[width // 2] - (middle[width // 12] + middle[int(width * 0.85)]) / 2) / width

    fish = [[sag(_draw("Acanthocybium_solandri", s, 200, k)) for s in range(8)] for k in (True, False)]
    assert max(fish[0]) < 0.015 < max(fish[1])


@pytest.mark.parametrize(
    ("name", "box", "change"),
    [
        ("Katsuwonus_pelamis", (0.45, 0.8, 0.6, 0.9), "belly_pattern"),
        ("Scomber_australasicus", (0.4, 0.8, 0.6, 0.85), "belly_pattern"),
        ("Auxis_rochei", (0.5, 0.85, 0.1, 0.45), "back_pattern"),
        ("Acanthocybium_solandri", (0.3, 0.85, 0.1, 0.7), "back_pattern"),
    ],
)
def test_marks_are_seen_where_the_table_puts_them(name, box, change):
    def unrest(fish):
        w = fish.body.shape[1]
        rows = np.flatnonzero(fish.body.max(1) > 0.5)
        top, deep = rows[0], rows[-1] - rows[0]
        u0, u1, v0, v1 = box
        patch = np.s_[top + int(v0 * deep) : top + int(v1 * deep), int(u0 * w) : int(u1 * w)]
        grey = fish.rgb[patch].mean(2)
        inside = fish.body[patch] > 0.9
        return (grey - cv2.GaussianBlur(grey, (0, 0), 6))[inside].std()

    assert unrest(_draw(name, 1, 400, True)) > 1.3 * unrest(_draw(name, 1, 400, True, **{change: []}))
