import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from fishlib.errors import UnreadablePhoto
from fishlib.photos import masks

any_mask = arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12)))


def grid(*rows):
    return np.array([[c == "#" for c in row] for row in rows])


@settings(deadline=None)
@given(any_mask)
def test_rle_and_png_lose_nothing(tmp_path_factory, mask):
    path = tmp_path_factory.mktemp("masks") / "種" / "a.png"
    masks.write_mask(mask, path)
    assert (masks.read_mask(path) == mask).all()
    assert set(np.unique(np.asarray(Image.open(path)))) <= {0, 255}
    assert (masks.from_rle(masks.to_rle(mask)) == mask).all()
    assert isinstance(masks.to_rle(mask)["counts"], str)


@pytest.mark.parametrize("counts", [[3], [3, 5], [3, 50, 8], "31"])
def test_rle_with_runs_that_do_not_add_up(counts):
    with pytest.raises(ValueError):
        masks.from_rle({"size": [4, 4], "counts": counts})


def test_uncompressed_rle_runs_down_the_columns():
    assert (masks.from_rle({"size": [2, 3], "counts": [1, 2, 3]}) == grid(".#.", "#..")).all()


@pytest.mark.parametrize(
    ("picture", "expected"),
    [
        (Image.fromarray(np.uint8([[0, 127, 128, 255]])), ".. ##"),
        (Image.fromarray(np.uint8([[0, 127, 128, 255]]).repeat(3).reshape(1, 4, 3)), ".. ##"),
        (Image.fromarray(np.array([[False, False, True, True]])), ".. ##"),
        (Image.fromarray(np.uint8([[[9, 9, 9, 255], [255] * 3 + [0], [255] * 4, [255] * 4]])), ".. ##"),
        (Image.fromarray(np.uint16([[0, 255, 65535, 40000]])), ".. ##"),
    ],
)
def test_white_is_fish_in_every_kind_of_png(tmp_path, picture, expected):
    picture.save(tmp_path / "a.png")
    assert (masks.read_mask(tmp_path / "a.png") == grid(expected.replace(" ", ""))).all()


def test_broken_mask_is_named(tmp_path):
    (tmp_path / "a.png").write_bytes(b"no")
    with pytest.raises(UnreadablePhoto, match=r"a\.png"):
        masks.read_mask(tmp_path / "a.png")


def test_dilate_counts_iterations():
    dot = np.zeros((15, 15), bool)
    dot[7, 7] = True
    for n in (0, 1, 3, 5):
        assert masks.dilate(dot, n).sum() == (2 * n + 1) ** 2
    assert masks.dilate(dot, 1, kernel=5).sum() == 25


def test_box_ends_one_past_the_mask():
    box = masks.box_of(grid("....", ".##.", ".#.."))
    assert box.dtype == np.float32
    assert box.tolist() == [1, 1, 3, 3]
    assert masks.box_of(np.zeros((3, 3), bool)) is None


@settings(deadline=None)
@given(any_mask, st.integers(1, 4))
def test_enlarging_and_shrinking_back(mask, times):
    h, w = mask.shape
    large = np.kron(mask, np.ones((times, times), bool))
    assert (masks.resize_mask(large, (h, w)) == mask).all()
    assert masks.resize_mask(mask, (h * times, w * times)).shape == (h * times, w * times)


def test_a_pixel_half_covered_is_fish():
    assert masks.resize_mask(grid("##..", ".#.."), (1, 2)).tolist() == [[True, False]]
    assert masks.resize_mask(grid("#...", ".#.."), (1, 2)).tolist() == [[True, False]]
    assert masks.resize_mask(grid("#...", "...."), (1, 2)).tolist() == [[False, False]]


def test_scores():
    a, b = grid("##..", "##.."), grid(".##.", ".##.")
    assert masks.iou(a, b) == pytest.approx(1 / 3)
    empty = np.zeros_like(a)
    assert masks.iou(a, empty) == 0
    assert np.isnan(masks.iou(empty, empty))


def test_pieces_hang_together_over_corners():
    mask = grid("##...#", "##..#.", "......", "..#...")
    assert masks.pieces(mask) == 3
    assert masks.pieces(mask, 0.2) == 2
    assert masks.pieces(mask & False) == 0
    assert (masks.largest_piece(mask) == grid("##....", "##....", "......", "......")).all()
    assert not masks.largest_piece(mask & False).any()


def test_holes():
    ring = grid("#####.", "#...#.", "#.#.#.", "#...#.", "#####.")
    assert masks.fill_holes(ring, 8).sum() == 25
    assert (masks.fill_holes(ring, 7) == ring).all()
    dark = ~ring  # open to the border all round, but for the ring's middle
    assert (masks.fill_holes(dark, 3) ^ dark).sum() == 1
    assert masks.fill_holes(np.ones((3, 3), bool), 9).all()
    assert not masks.fill_holes(np.zeros((3, 3), bool), 9).any()


def test_border():
    inside = np.zeros((4, 4), bool)
    inside[1:3, 1:3] = True
    assert not masks.touches_border(inside)
    for where in ((0, 1), (3, 2), (1, 0), (2, 3)):
        mask = inside.copy()
        mask[where] = True
        assert masks.touches_border(mask)
