import hashlib

import cv2
import numpy as np
import pytest

from fishlib.phantom import COUNTS, counts, draw, kinds, traits, write_dataset
from fishlib.phantom.backgrounds import rows

NAMES = list(traits.load())
STUDY = NAMES[:17]
SIDE = 200


@pytest.fixture(scope="module")
def photos():
    return [draw(STUDY[i % 17], 5, i, side=SIDE) for i in range(51)]


def test_same_arguments_same_bytes():
    a, b = (draw(STUDY[3], 1, 2, side=SIDE) for _ in range(2))
    assert all(np.array_equal(x, y) for x, y in zip(a[:4], b[:4], strict=True))
    assert a.facts == b.facts
    assert not np.array_equal(a.photo, draw(STUDY[3], 1, 3, side=SIDE).photo[: a.photo.shape[0], : a.photo.shape[1]])


def test_masks_and_box(photos):
    for p in photos:
        assert p.photo.dtype == np.uint8 and p.photo.shape == (*p.body.shape, 3) and max(p.body.shape) == SIDE
        assert p.body.dtype == bool and p.fins.dtype == bool and not (p.body & p.fins).any()
        ys, xs = np.nonzero(p.body | p.fins)
        assert p.box.dtype == np.float32
        assert p.box.tolist() == [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]
        assert p.body.sum() > p.fins.sum() > 0


@pytest.mark.parametrize("kind", kinds())
def test_every_kind_draws_without_a_fish(kind):
    p = draw(None, 2, 0, side=160, kind=kind)
    assert p.facts["kind"] == kind and p.facts["n_fish"] == 0 and p.species == ""
    assert not p.body.any() and not p.fins.any() and p.box.tolist() == [0] * 4
    assert p.photo.std() > 2


@pytest.mark.parametrize("name", ["surfaces.csv", "props.csv", "palettes.csv", "settings.csv"])
def test_no_cell_of_a_table_is_lost(name):
    for row in rows(name):  # a comma too many would end a cell early
        assert None not in row and None not in row.values()


def test_every_species_draws_as_a_specimen():
    assert len(NAMES) >= 57 and len(kinds()) >= 12
    for name in NAMES[17::6]:
        p = draw(name, 1, 1, "specimen", side=160)
        rim = np.concatenate([p.photo[0], p.photo[-1]])
        assert rim.min() > 90 and (p.body | p.fins).mean() > 0.04


@pytest.mark.parametrize("index", range(4))
def test_background_never_sees_the_species(index):
    a, b = (draw(STUDY[k], 9, index, side=SIDE) for k in (2, 16))
    assert a.facts == b.facts
    near = cv2.dilate((a.body | a.fins | b.body | b.fins).astype(np.uint8), np.ones((61, 61))) > 0
    far = np.abs(a.photo.astype(int) - b.photo)[~near]
    assert not len(far) or (far.mean() < 1 and np.quantile(far, 0.99) <= 4)


def test_species_from_the_background_alone_stays_at_chance():
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import cross_val_predict
    from sklearn.preprocessing import StandardScaler

    names = [STUDY[k] for k in (2, 4, 6, 16)]  # slender and deep
    x, y = [], []
    for i in range(160):
        p = draw(names[i % 4], 21, i, side=96)
        rim = cv2.resize(p.photo, (16, 12), interpolation=cv2.INTER_AREA).astype(float)
        x.append(np.concatenate([rim[0], rim[-1], rim[:, 0], rim[:, -1]]).ravel())
        y.append(i % 4)
    x = StandardScaler().fit_transform(x)
    right = (cross_val_predict(LogisticRegression(C=0.01), x, y, cv=5) == y).mean()
    assert right < 0.25 + 3 * (0.25 * 0.75 / 160) ** 0.5  # chance plus three standard errors


def test_otsu_alone_does_not_find_the_fish(photos):
    def iou(p):
        grey, mask = cv2.cvtColor(p.photo, cv2.COLOR_RGB2GRAY), p.body | p.fins
        bright = cv2.threshold(grey, 0, 255, cv2.THRESH_OTSU)[1] > 0
        return max((m & mask).sum() / (m | mask).sum() for m in (bright, ~bright))

    assert np.mean([iou(p) < 0.5 for p in photos]) >= 0.75  # 51 photos: 80 % less one standard error


@pytest.mark.parametrize("index", range(5))
def test_two_fish_and_cut_off_fish_are_flagged(index):
    two = draw(STUDY[5], 3, index, side=SIDE, second=True)
    assert two.facts["n_fish"] == 2 and not two.facts["cut_off"]
    cut = draw(STUDY[5], 3, index, side=SIDE, cut_off=True)
    mask = cut.body | cut.fins
    assert cut.facts["cut_off"] and cut.facts["n_fish"] == 1
    assert max(mask[0].sum(), mask[-1].sum(), mask[:, 0].sum(), mask[:, -1].sum()) > 3
    whole = draw(STUDY[5], 3, index, side=SIDE)
    mask = whole.body | whole.fins
    assert max(mask[0].sum(), mask[-1].sum(), mask[:, 0].sum(), mask[:, -1].sum()) <= 3


@pytest.mark.parametrize("species, kind", [("Gadus_nobody", None), ("Scomber_japonicus", "moon")])
def test_unknown_names_raise(species, kind):
    with pytest.raises(KeyError):
        draw(species, 0, 0, side=96, kind=kind)


def test_counts_are_the_papers():
    assert sum(COUNTS) == 601
    assert tuple(counts(601, 6).values()) == COUNTS
    assert counts(601, 6)["Scomber_japonicus"] == 93
    assert min(counts(200, 8).values()) == 8 and 195 <= sum(counts(200, 8).values()) <= 240


def test_dataset_resumes_and_keeps_its_bytes(tmp_path):
    def content(root):
        return {p.relative_to(root).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in root.rglob("*.*")}

    write_dataset(tmp_path / "a", 17, 1, 4, progress=False)
    first = content(tmp_path / "a")
    n = sum(counts(17, 1).values())
    assert len(first) == 3 * n + 2 and {"DRAWN.txt", "photos/curation.csv"} <= first.keys()
    photo = tmp_path / "a/photos/Scomber_japonicus/0000.jpg"
    kept = tmp_path / "a/photos/Scomber_japonicus/0001.jpg"
    before = kept.stat().st_mtime_ns
    photo.unlink()
    write_dataset(tmp_path / "a", 17, 1, 4, progress=False)
    assert content(tmp_path / "a") == first and kept.stat().st_mtime_ns == before
    image, masks, fins = (
        cv2.imread(str(tmp_path / "a" / tree / f"Scomber_japonicus/0000{end}"), cv2.IMREAD_UNCHANGED)
        for tree, end in (("photos", ".jpg"), ("masks", ".png"), ("fins", ".png"))
    )
    assert image.shape[:2] == masks.shape == fins.shape
    assert set(np.unique(masks)) == {0, 255} and not (fins & ~masks).any()
