import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fishlib.errors import UserError
from fishlib.photos import composite
from fishlib.photos.composite import BACKGROUNDS, CROP, CROP_MASK, MASK, ORIGINAL, Variant

images = hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, min_side=4, max_side=24).map(lambda s: (*s, 3)))


@st.composite
def photos(draw):
    image = draw(images)
    mask = draw(hnp.arrays(bool, image.shape[:2]))
    x = sorted(draw(st.lists(st.floats(0, image.shape[1]), min_size=2, max_size=2)))
    y = sorted(draw(st.lists(st.floats(0, image.shape[0]), min_size=2, max_size=2)))
    return image, mask, np.array([x[0], y[0], x[1], y[1]], np.float32)


@given(photos(), st.sampled_from(sorted(BACKGROUNDS)))
def test_fill_keeps_the_fish_and_paints_the_rest(photo, name):
    image, mask, _ = photo
    filled = composite.fill(image, mask, BACKGROUNDS[name])
    assert (filled[mask] == image[mask]).all()
    assert (filled[~mask] == BACKGROUNDS[name]).all()


@given(photos(), st.floats(0, 1))
def test_crop_window_covers_the_box_inside_the_photo(photo, margin):
    image, _, box = photo
    height, width = image.shape[:2]
    x0, y0, x1, y1 = composite.crop_window(box, height, width, margin)
    assert 0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height
    assert x0 <= max(box[0], 0) and x1 >= min(box[2], width)
    assert y0 <= max(box[1], 0) and y1 >= min(box[3], height)


@given(photos(), st.booleans(), st.booleans(), st.sampled_from(["squash", "letterbox"]))
def test_compose_always_gives_the_network_its_size(photo, crop, mask, fit):
    image, m, box = photo
    made = composite.compose(image, m, box, Variant(crop, mask), size=32, fit=fit)
    assert made.shape == (32, 32, 3) and made.dtype == np.uint8


@given(images)
def test_an_undetected_photo_is_left_as_it_is(image):
    plain = composite.compose(image, None, None, ORIGINAL, size=32)
    for variant in (CROP, MASK, CROP_MASK):
        assert (composite.compose(image, None, None, variant, size=32) == plain).all()


def test_a_box_without_a_mask_is_cropped_but_not_masked():
    image = np.arange(4 * 8 * 3, dtype=np.uint8).reshape(4, 8, 3)
    box = np.array([2, 0, 6, 4], np.float32)
    expected = composite.to_square(image[:, 2:6], 4)
    assert (composite.compose(image, None, box, CROP_MASK, size=4) == expected).all()


def test_dilation_grows_the_kept_part_by_one_pixel_a_time():
    image = np.full((9, 9, 3), 200, np.uint8)
    mask = np.zeros((9, 9), bool)
    mask[4, 4] = True
    for n, side in [(0, 1), (1, 3), (3, 7)]:
        made = composite.compose(image, mask, None, MASK._replace(dilations=n), size=9)
        assert (made[..., 0] == 200).sum() == side * side


def test_letterbox_keeps_the_shape_and_pads_with_the_background():
    image = np.full((10, 20, 3), 90, np.uint8)
    made = composite.compose(
        image, np.ones((10, 20), bool), None, Variant(mask=True, background="red"), 20, "letterbox"
    )
    assert (made[5:15] == 90).all()
    assert (made[:5] == (255, 0, 0)).all() and (made[15:] == (255, 0, 0)).all()


def test_variants_of_the_tables_are_named_once_each():
    names = [v.name for v in composite.variants_of_tables(list(BACKGROUNDS), [0, 1, 3, 5, 10, 15])]
    assert names == [
        "original", "crop", "mask", "crop_mask",
        "crop_mask_blue", "crop_mask_green", "crop_mask_red", "crop_mask_white",
        "crop_mask_d1", "crop_mask_d3", "crop_mask_d5", "crop_mask_d10", "crop_mask_d15",
    ]  # fmt: skip


def test_unknown_fit_says_what_to_choose():
    with pytest.raises(UserError, match="squash or letterbox"):
        composite.to_square(np.zeros((4, 4, 3), np.uint8), fit="stretch")
