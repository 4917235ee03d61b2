import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fishlib.removal.segmenters import adjust


def disc(h, w, y, x, r):
    ys, xs = np.mgrid[:h, :w]
    return (ys + 0.5 - y) ** 2 + (xs + 0.5 - x) ** 2 <= r**2


def logits(*candidates):
    return np.where(np.stack(candidates), 5.0, -5.0).astype(np.float32)


sides = st.tuples(st.integers(1, 60), st.integers(1, 60))


@given(
    sides,
    st.lists(st.tuples(*[st.floats(-5, 65)] * 4), min_size=1, max_size=4),
    st.integers(0, 5),
    st.integers(0, 9),
)
def test_perturbed_boxes_stay_in_the_photo_and_keep_the_first(size, boxes, jitters, seed):
    boxes = np.clip(
        np.sort(np.float32(boxes).reshape(-1, 2, 2), 1).reshape(-1, 4), 0, np.float32([size[1], size[0]] * 2)
    )
    moved = adjust.perturb(boxes, size, jitters, 0.2, 0.3, np.random.default_rng(seed))
    assert moved.shape == (len(boxes), 1 + jitters, 4) and moved.dtype == np.float32
    assert (moved[..., 2:] - moved[..., :2] >= 0.99).all()
    assert (moved >= 0).all() and (moved[..., [0, 2]] <= size[1]).all() and (moved[..., [1, 3]] <= size[0]).all()
    wide = (boxes[:, 2:] - boxes[:, :2] >= 1).all(1)
    np.testing.assert_allclose(moved[wide, 0], boxes[wide], atol=1e-3)


def test_perturbation_follows_the_photo_and_the_seed():
    photo = np.zeros((4, 4, 3), np.uint8)

    def draw(image, seed):
        return adjust.perturb([[10, 10, 30, 20]], (40, 40), 3, 0.1, 0.1, adjust.seeded(image, seed))

    np.testing.assert_array_equal(draw(photo, 0), draw(photo.copy(), 0))
    assert (draw(photo, 0) != draw(photo, 1)).any() and (draw(photo, 0) != draw(photo + 1, 0)).any()
    plain = adjust.perturb([[10, 10, 30, 20]], (40, 40), 3, 0.0, 0.0, adjust.seeded(photo, 0))
    np.testing.assert_allclose(plain[0], [[10, 10, 30, 20]] * 4)


def test_boxes_grow_and_never_shrink():
    moved = adjust.perturb([[40, 30, 80, 50]], (100, 100), 50, 0.0, 0.2, np.random.default_rng(0))[0, 1:]
    assert (moved[:, :2] <= [40, 30]).all() and (moved[:, 2:] >= [80, 50]).all()
    sides = (moved[:, 2:] - moved[:, :2]) / [40, 20]
    assert sides.max() <= 1.2001 and sides.mean() == pytest.approx(1.1, abs=0.03)


def test_stability_is_segment_anythings():
    from segment_anything.utils.amg import calculate_stability_score
    from torch import from_numpy

    values = np.random.default_rng(0).normal(0, 2, (5, 12, 9)).astype(np.float32)
    np.testing.assert_allclose(
        adjust.stability(values), calculate_stability_score(from_numpy(values), 0.0, 1.0), rtol=1e-6
    )


def test_centrality_is_the_boxs_and_falls_from_centre_to_corner():
    boxes = np.float32([[25, 15, 35, 25], [25, 5, 35, 15], [0, 0, 6, 6], [60, 40, 60, 40]])
    found = adjust.centrality(boxes, (40, 60))
    assert found[0] == pytest.approx(1) and found[0] > found[1] > found[2] > found[3] == pytest.approx(0)


def test_agreement_is_with_what_other_boxes_found_and_prefers_no_part():
    whole, part, other = disc(30, 30, 15, 15, 8), disc(30, 30, 15, 15, 4), disc(30, 30, 4, 4, 3)
    tried = np.float32([[7, 7, 23, 23]] * 2 + [[6, 7, 23, 23]] * 2 + [[0, 0, 8, 8]])
    found = adjust.agreement(np.stack([whole, part, whole, part, other]), tried)
    np.testing.assert_allclose(found, [0.5, 0.5, 0.5, 0.5, 0])  # of two other boxes one found the very same
    assert adjust.agreement(np.stack([whole, part]), tried[:2]).tolist() == [1, 1]


@pytest.mark.parametrize("mask, low, high", [
    (disc(40, 40, 20, 20, 9), 0.99, 1.0),  # fills 0.6 of the box
    (disc(40, 40, 20, 20, 2), 0.0, 0.2),  # a part only
    (np.ones((40, 40), bool), 0.0, 0.0),  # everything
    (disc(40, 40, 20, 31, 9), 0.2, 0.7),  # beside its box
    (np.zeros((40, 40), bool), 0.0, 0.0),
])  # fmt: skip
def test_share_of_the_box(mask, low, high):
    assert low <= adjust.box_share(mask[None], np.float32([[10, 10, 30, 30]]))[0] <= high


def test_score_picks_the_whole_fish_near_the_centre():
    whole, part, far = disc(60, 80, 30, 40, 12), disc(60, 80, 26, 36, 4), disc(60, 80, 8, 9, 6)
    boxes = np.float32([[28, 18, 52, 42]] * 4 + [[3, 2, 15, 14]])
    tried = np.float32([[28, 18, 52, 42]] * 2 + [[27, 17, 53, 43]] * 2 + [[3, 2, 15, 14]])
    candidates = logits(part, whole, part & disc(60, 80, 26, 36, 3), whole, far)
    scores = adjust.score(candidates, np.float32([0.9, 0.85, 0.9, 0.84, 0.95]), boxes, tried, [0.6, 0.6, 0.6, 0.6, 0.4])
    assert scores["total"].argmax() == 1 and {*adjust.WEIGHTS, "stability", "total"} == set(scores)
    assert "5 candidates" in adjust.why(scores, 1)


def test_a_steady_part_in_the_middle_does_not_beat_the_whole():
    whole, part = disc(60, 80, 30, 45, 12), disc(60, 80, 30, 40, 7)
    blurred = logits(whole, part)
    blurred[0][disc(60, 80, 30, 45, 14) ^ disc(60, 80, 30, 45, 11)] *= 0.1  # an uncertain rim, as fins have
    boxes = np.float32([[33, 18, 57, 42]] * 2)
    scores = adjust.score(blurred, np.float32([0.9, 0.88]), boxes, boxes, [0.6, 0.6])
    assert scores["stability"][1] > scores["stability"][0] and scores["total"].argmax() == 0


def test_an_empty_candidate_never_wins():
    candidates, boxes = logits(np.zeros((20, 20), bool), disc(20, 20, 3, 3, 2)), np.float32([[0, 0, 20, 20]] * 2)
    scores = adjust.score(candidates, np.float32([1, 0]), boxes, boxes, [0.9, 0.1])
    assert scores["total"][0] == 0 and scores["total"].argmax() == 1


@pytest.mark.parametrize("length, side", [(10, 1), (124, 1), (125, 3), (250, 5), (0, 1)])
def test_the_kernel_grows_with_the_box_and_is_odd(length, side):
    assert adjust.kernel_side(np.float32([5, 5, 5 + length, 9]), 0.016) == side


def test_clean_opens_closes_keeps_one_piece_and_fills_small_holes():
    mask = disc(80, 120, 40, 60, 25)
    mask[40, 30:36] = mask[40:42, 60] = False  # a crack and a pin hole
    mask[38:46, 64:72] = False  # a hole of 64 pixels, 3 % of the disc
    mask[39, 85:100] = True  # a hair that opening removes
    mask[70:76, 5:11] = True  # another piece
    box = np.float32([35, 15, 85, 65])
    cleaned = adjust.clean(mask, box, opening=0.06, closing=0.06, hole=0.02)
    assert not cleaned[70:76, 5:11].any() and not cleaned[39, 90:100].any()
    assert cleaned[40:42, 60].all() and not cleaned[40:44, 66:70].any()
    assert adjust.clean(mask, box, opening=0.06, closing=0.06, hole=0.1)[38:46, 64:72].all()


def test_a_tail_parted_by_a_thin_gap_is_closed_before_the_largest_piece_is_taken():
    mask = disc(80, 120, 40, 50, 20)
    mask[36:44, 73:83] = True  # three pixels off the body
    box = np.float32([30, 20, 83, 60])
    assert adjust.clean(mask, box, opening=0, closing=0.1, hole=0)[37:43, 74:82].all()
    assert not adjust.clean(mask, box, opening=0, closing=0, hole=0)[:, 73:].any()


@given(st.integers(0, 2**32 - 1), st.integers(1, 24), st.integers(1, 24))
def test_clean_keeps_something_of_every_mask(seed, h, w):
    mask = np.random.default_rng(seed).random((h, w)) < 0.3
    before = mask.copy()
    cleaned = adjust.clean(mask, np.float32([0, 0, w, h]), opening=0.2, closing=0.1, hole=0.05)
    assert cleaned.shape == mask.shape and cleaned.dtype == bool and cleaned.any() == mask.any()
    np.testing.assert_array_equal(mask, before)


@pytest.mark.parametrize("mask, box, fault", [
    (disc(40, 40, 20, 20, 10), [10, 10, 30, 30], ""),
    (np.zeros((40, 40), bool), [10, 10, 30, 30], "vanished"),
    (disc(40, 40, 20, 20, 2), [18, 18, 22, 22], "vanished"),
    (np.ones((40, 40), bool), [0, 0, 40, 40], "hugs the whole frame"),
    (~disc(40, 40, 20, 20, 10), [0, 0, 40, 40], "hugs the whole frame"),
    (disc(40, 40, 20, 20, 20), [0, 0, 40, 40], ""),  # touches all four sides
    (disc(40, 40, 8, 8, 5), [20, 20, 40, 40], "disagrees"),
    (disc(40, 40, 20, 20, 5), [0, 0, 40, 40], "disagrees"),
    (disc(40, 40, 20, 20, 10), [10, 10, 10, 10], "disagrees"),  # a box without a pixel
])  # fmt: skip
def test_fault_names_what_makes_a_mask_unusable(mask, box, fault):
    found = adjust.fault(mask, np.float32(box))
    assert fault in found and bool(fault) == bool(found)
