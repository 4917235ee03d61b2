"""How much of the naming leans on backgrounds: classifiers made by hand, whose answer is known beforehand."""

from contextlib import contextmanager
from dataclasses import replace

import cv2
import numpy as np
import pandas as pd
import pytest

from fishlib.beyond import donors, fills, looks, parts, pictures, reliance
from fishlib.beyond.shelf import Shelf, with_masks
from fishlib.errors import UserError

SIDE = 64
SPECIES = tuple("abcdef")
EACH = 9
BITS = [[0, 0, 0], [0, 0, 1], [0, 1, 0], [0, 1, 1], [1, 0, 0], [1, 1, 1]]  # of a species' colour: dark or light
LIGHT = 160  # fish are lighter than this in every channel, backgrounds darker


class Drawn(Shelf):
    """Photos of the network's own size that lie in memory."""

    def __init__(self, study, photos, images, masks):
        super().__init__(study, photos)
        self._images, self._masks = images, masks

    def image(self, photo_id):
        return self._images[photo_id]

    def mask(self, photo_id):
        return self._masks[photo_id]

    def _mask_hash(self, photo_id):
        return photo_id


def drawn(study, ground_of, fish_of, each=EACH):
    """A shelf of light ellipses on dark grounds. ground_of, fish_of: (random, number of the species) -> colour (3,)."""
    random = np.random.default_rng(0)
    rows, images, masks = [], {}, {}
    for number, name in enumerate(SPECIES):
        for i in range(each):
            photo_id = f"{name}/{i}.png"
            mask = np.zeros((SIDE, SIDE), np.uint8)
            centre = random.integers(24, 40, 2).tolist()
            cv2.ellipse(mask, centre, (18, 8), float(random.uniform(-30, 30)), 0, 360, 1, -1)
            image = np.empty((SIDE, SIDE, 3), np.uint8)
            image[:] = ground_of(random, number)
            image[mask > 0] = fish_of(random, number)
            rows.append({"photo_id": photo_id, "species": name, "sha256": photo_id})
            images[photo_id], masks[photo_id] = image, mask > 0
    return Drawn(study, pd.DataFrame(rows), images, masks)


@pytest.fixture
def study(tiny_study):
    transfer = tiny_study.profile.transfer.model_copy(update={"epochs": 200, "learning_rate": 0.05})
    beyond = tiny_study.profile.beyond.model_copy(update={"learnt_from": 5, "asked": 5})
    profile = tiny_study.profile.model_copy(update={"transfer": transfer, "beyond": beyond})
    return replace(tiny_study, profile=profile)


@pytest.fixture
def ask(monkeypatch):
    """Ask a shelf about a classifier: a function uint8 (S, S, 3) -> features (D,)."""

    def asked(shelf, features_of, groups=None):
        @contextmanager
        def network(study, source, ask):
            yield lambda shown: np.stack([features_of(picture) for picture in shown]).astype(np.float32)

        monkeypatch.setattr(looks, "network", network)
        question, notes = reliance.question(shelf, groups)
        return question, reliance.run(question, "none"), notes

    return asked


def bands(random, number):
    """A dark ground of the species' own."""
    return 20 + 10 * number, 30, 80 - 10 * number


def any_band(random, number):
    return bands(random, random.integers(len(SPECIES)))


def light(random, number):
    """A light fish of the species' own."""
    return [170 + 80 * bit for bit in BITS[number]]


def any_light(random, number):
    return light(random, random.integers(len(SPECIES)))


def of_fish(picture):
    """What is light: which of the species' colours it is, and nothing of the ground."""
    seen = (picture > LIGHT).all(axis=-1)
    if not seen.any():
        return np.zeros(len(SPECIES))
    bits = (picture[seen].mean(axis=0) > 210).astype(int).tolist()
    return 5 * np.eye(len(SPECIES))[BITS.index(bits)]


def of_ground(picture):
    """What the corner is: which of the grounds it is, and nothing of the fish."""
    return 5 * np.eye(len(SPECIES))[round((int(picture[0, 0, 0]) - 20) / 10) % len(SPECIES)]


def of_both(picture):
    """Fish and ground, as a network sees some of everything."""
    return np.concatenate([of_fish(picture), of_ground(picture)])


def overall(frame):
    return frame[frame["species"] == ""].set_index("learnt_from")


def test_who_looks_at_fish_alone_has_no_gap(study, ask):
    _, found, _ = ask(drawn(study, bands, light), of_fish)
    gap = overall(found.gap)
    assert gap["same"].tolist() == [100, 100, 100]
    assert gap["gap"].tolist() == [0, 0, 0]


def test_who_names_the_donor_is_right_on_backgrounds_of_the_species_alone(study, ask):
    _, found, _ = ask(drawn(study, bands, light), of_ground)
    gap = overall(found.gap).loc["original"]
    assert (gap["same"], gap["rand"], gap["gap"]) == (100, 0, 100)
    right = found.right[(found.right["species"] == "") & (found.right["learnt_from"] == "original")]
    assert right.set_index("asked").loc[["background", "only_bg_b", "no_fg"], "percent"].tolist() == [100, 100, 100]


def test_backgrounds_that_tell_nothing_have_no_clear_gap(study, ask):
    _, found, _ = ask(drawn(study, any_band, light), of_both)
    gap = overall(found.gap)
    assert (gap["lo"] <= 0).all() and (gap["hi"] >= 0).all()
    assert gap.loc["original", "same"] > 50


def test_backgrounds_bound_to_species_have_a_gap(study, ask):
    _, found, _ = ask(drawn(study, bands, any_light), of_both)
    gap = overall(found.gap)
    assert gap.loc["original", "lo"] > 20
    assert gap.loc["mixed_rand", "gap"] < gap.loc["original", "gap"] / 2


def test_no_head_learnt_from_a_host_or_a_donor_and_none_is_of_the_hosts_group(study, ask):
    shelf = drawn(study, bands, light, each=8)
    trips = pd.Series([p[:-5] + str(int(p[2]) // 2) for p in shelf.photos["photo_id"]], index=shelf.photos["photo_id"])
    question, _, _ = ask(shelf, of_fish, trips)
    shown = question.donors
    assert len(shown) > 0
    assert not set(question.learn) & {*shown["photo_id"], *shown["donor"], *question.ask}
    assert (trips[shown["photo_id"]].to_numpy() != trips[shown["donor"]].to_numpy()).all()
    assert not set(trips[question.learn]) & set(trips[question.ask])
    same = shown["photo_id"].str[0] == shown["donor"].str[0]
    assert (same == (shown["kind"] == donors.SAME)).all()


def test_a_second_time_no_picture_is_made(study, ask, monkeypatch):
    shelf = drawn(study, bands, light)
    _, first, _ = ask(shelf, of_fish)
    monkeypatch.setattr(parts, "apart", None)
    _, again, _ = ask(drawn(study, bands, light), of_fish)
    pd.testing.assert_frame_equal(first.gap, again.gap)


def test_photos_without_a_donor_are_named_and_one_species_cannot_be_asked(study):
    shelf = drawn(study, bands, light, each=3)
    _, notes = reliance.question(shelf, None)
    assert any("fewer than 5 donors" in note for note in notes)
    alone = Shelf(study, shelf.photos[shelf.photos["species"] == "a"])
    with pytest.raises(UserError, match="Fewer than two species"):
        reliance.question(alone, None)


def test_donors_are_five_of_each_kind_and_hang_on_the_host_alone():
    ids = [f"{name}/{i}" for name in SPECIES for i in range(8)]
    photos = pd.DataFrame({"photo_id": ids, "species": [p[0] for p in ids]})
    chosen = donors.choose(photos, seed=3)
    assert (chosen.groupby(["photo_id", "kind"]).size() == donors.DONORS).all()
    assert not chosen.duplicated(["photo_id", "donor"]).any()
    of_others = chosen[chosen["kind"] == donors.RAND]
    assert (of_others.groupby("photo_id")["donor"].agg(lambda ids: ids.str[0].nunique()) == donors.DONORS).all()
    shuffled = donors.choose(photos.sample(frac=1, random_state=1), seed=3)
    assert set(map(tuple, shuffled.to_numpy())) == set(map(tuple, chosen.to_numpy()))


def test_photos_without_masks_are_left_out_and_counted():
    photos = pd.DataFrame({"photo_id": ["a/1", "b/1"], "species": ["a", "b"]})
    found = pd.DataFrame({"photo_id": ["b/1", "a/1"], "mask_file": ["1.png", np.nan]})
    there, notes = with_masks(photos, found)
    assert there["photo_id"].tolist() == ["b/1"]
    assert notes == ["1 of 2 photos have no mask and are left out of the questions about backgrounds."]


def test_a_hole_is_filled_from_around_it_and_keeps_nothing_of_its_own():
    image = np.full((9, 14, 3), (10, 120, 200), np.uint8)
    hole = np.zeros((9, 14), bool)
    hole[3:7, 4:10] = True
    image[hole] = 255
    assert (fills.fill(image, hole) == (10, 120, 200)).all()
    other = image.copy()
    other[hole] = 0
    assert (fills.fill(image, hole) == fills.fill(other, hole)).all()
    assert (fills.fill(image, np.ones((9, 14), bool)) == fills.GREY).all()


def test_every_picture_of_a_photo_of_four_pixels_by_hand():
    photo = np.array([[[10] * 3, [20] * 3], [[30] * 3, [200] * 3]], np.uint8)
    share = np.array([[0, 0], [0, 1]], np.float32)
    fish = np.where(share[..., None] > 0, photo, np.uint8(0))
    ground = np.array([[[10] * 3, [20] * 3], [[30] * 3, [25] * 3]], np.uint8)
    one = parts.Parts(photo, fish, share, ground, share > 0)
    certain = [name for name in pictures.ALONE if name not in ("noise", "blur")]
    shown = {name: pictures.draw(name, one)[..., 0].tolist() for name in certain}
    assert shown["original"] == [[10, 20], [30, 200]]
    assert shown["mask"] == [[0, 0], [0, 200]]
    assert shown["only_bg_b"] == shown["no_fg"] == [[10, 20], [30, 0]]
    assert shown["only_bg_t"] == [[10, 20], [30, 20]]
    assert shown["silhouette"] == [[0, 0], [0, 255]]
    assert shown["mean"] == [[20, 20], [20, 200]]
    assert pictures.draw("mask_white", one)[..., 0].tolist() == [[255, 255], [255, 200]]
    noise = pictures.draw("noise", one, seed=4)
    assert noise[1, 1].tolist() == [200] * 3 and (noise != pictures.draw("noise", one, seed=5)).any()
    other = one._replace(share=1 - share, background=np.full_like(photo, 7))
    assert pictures.draw("mixed", one, other)[..., 0].tolist() == [[7, 7], [7, 200]]
    assert pictures.draw("other_mask", one, other)[..., 0].tolist() == [[10, 20], [30, 0]]
