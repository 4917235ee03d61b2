import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco

from fishlib.errors import UserError
from fishlib.photos import masks
from fishlib.removal import segmenters

FISH = np.zeros((40, 60), bool)
FISH[10:25, 15:45] = True
PHOTO = np.zeros((40, 60, 3), np.uint8)
ID = "種 a/写真 1.b.jpg"


def ask(root, image=PHOTO, photo_id=ID, sizes=None):
    segmenter = segmenters.build("imported", {"root": str(root), "sizes": sizes or {ID: (40, 60)}})
    return segmenter.segment([image], [photo_id])[0]


def png(root, mask=FISH, name="種 a/写真 1.b.png"):
    masks.write_mask(mask, root / name)
    return root


def as_coco(path, *entries, size=(40, 60)):
    """entries: (file_name, segmentation or None for an image without one)."""
    images, notes = {}, []
    for name, segmentation in entries:
        images.setdefault(name, {"id": len(images), "file_name": name, "height": size[0], "width": size[1]})
        if segmentation is not None:
            notes.append({"image_id": images[name]["id"], "segmentation": segmentation, "category_id": 1})
    path.write_text(json.dumps({"images": list(images.values()), "annotations": notes}), encoding="utf-8")
    return path


def test_png_tree(tmp_path):
    found = ask(png(tmp_path))
    assert (found.status, found.reason) == ("ok", "")
    assert (found.mask == FISH).all()
    assert found.box.tolist() == [15, 10, 45, 25] and found.box.dtype == np.float32
    assert np.isnan(found.score)


def test_one_level_and_another_unicode_form(tmp_path):
    assert ask(png(tmp_path, name="x.png"), photo_id="x.jpg").status == "ok"
    assert ask(png(tmp_path, name="カ\u3099/x.png"), photo_id="ガ/x.jpg").status == "ok"
    assert ask(png(tmp_path, name="ギ/x.png"), photo_id="キ\u3099/x.jpg").status == "ok"


def test_the_working_copy_gets_the_mask_in_its_own_pixels(tmp_path):
    found = ask(png(tmp_path), PHOTO[::2, ::2])
    assert found.mask.shape == (20, 30)
    assert (found.mask == masks.resize_mask(FISH, (20, 30))).all()
    assert found.box.max() <= 30


@pytest.mark.parametrize(
    ("made", "status", "reason"),
    [
        (lambda root: None, "no_detection", "no mask file"),
        (lambda root: png(root, FISH[:, :-1]), "mask_rejected", "59 x 40, photo 60 x 40"),
        (lambda root: png(root, FISH[::2, ::2]), "mask_rejected", "30 x 20"),
        (lambda root: png(root, FISH & False), "mask_rejected", "all black"),
        (lambda root: (png(root) / ID).with_suffix(".png").write_bytes(b"no"), "mask_rejected", "no picture"),
        (lambda root: (png(root) / ID).with_suffix(".png").write_bytes(b""), "mask_rejected", "empty"),
    ],
)
def test_unusable_masks_become_rows(tmp_path, made, status, reason):
    made(tmp_path)
    found = ask(tmp_path, PHOTO[::2, ::2])  # the original's size counts, not the working copy's
    assert found.status == status and reason in found.reason
    assert found.mask is None and found.box is None


@pytest.mark.parametrize("photo_id", ["../out/x.jpg", "/etc/x.jpg", "link/x.jpg"])
def test_no_mask_from_outside(tmp_path, photo_id):
    png(tmp_path / "out", name="x.png")
    root = png(tmp_path / "root")
    (root / "link").symlink_to(tmp_path / "out")
    assert ask(root, photo_id=photo_id).status == "no_detection"


def rle(mask):
    return masks.to_rle(mask)


RUNS = {"size": [40, 60], "counts": [610, *[15, 25] * 29, 15, 615]}  # down the columns
OUTLINE = [[15, 10, 45, 10, 45, 25, 15, 25]]


@pytest.mark.parametrize("segmentation", [OUTLINE, rle(FISH), RUNS])
@pytest.mark.parametrize("name", [ID, ID.replace("/", "\\"), "./" + ID, "elsewhere/写真 1.b.jpg", "写真 1.b.jpg"])
def test_coco(tmp_path, segmentation, name):
    found = ask(as_coco(tmp_path / "a.json", (name, segmentation)))
    assert found.status == "ok" and (found.mask == FISH).all()


def test_coco_unites_the_annotations_of_a_photo(tmp_path):
    half = FISH.copy()
    half[:, 30:] = False
    fin = np.zeros_like(FISH)
    fin[5:8, 20:30] = True
    parts = (ID, rle(half)), (ID, [[30, 10, 45, 10, 45, 25, 30, 25]]), (ID, rle(fin))
    assert (ask(as_coco(tmp_path / "a.json", *parts)).mask == (FISH | fin)).all()


def test_coco_never_gives_a_photo_anothers_mask(tmp_path):
    sizes = {"a/1.jpg": (40, 60), "b/1.jpg": (40, 60)}
    one = as_coco(tmp_path / "one.json", ("1.jpg", OUTLINE))
    assert ask(one, photo_id="a/1.jpg", sizes=sizes).status == "no_detection"
    two = as_coco(tmp_path / "two.json", ("a/1.jpg", None), ("x/1.jpg", OUTLINE))
    assert ask(two, photo_id="a/1.jpg", sizes={"a/1.jpg": (40, 60)}).status == "no_detection"


@pytest.mark.parametrize(
    "segmentation",
    [
        [[1, 1, 3, 3]],
        [[0, 0, 1e9, 0, 1e9, 1e9]],
        [[0, 0, float("nan"), 0, 3, 3]],
        [["a", 0, 3, 0, 3, 3]],
        [],
        "text",
        7,
        {"size": [40, 60], "counts": [3]},
        {"size": [40, 60], "counts": [-3, 2403]},
        {"size": [40, 60], "counts": "31"},
        {"size": [40, 60]},
        {"size": [9, 9], "counts": coco.encode(np.ones((9, 9), np.uint8, order="F"))["counts"].decode()},
    ],
)
def test_coco_annotations_that_cannot_be(tmp_path, segmentation):
    found = ask(as_coco(tmp_path / "a.json", (ID, segmentation)))
    assert found.status == "mask_rejected" and found.reason
    assert segmenters.build("imported", {"root": tmp_path / "a.json"}).key_for(ID)


def test_coco_of_another_size(tmp_path):
    found = ask(as_coco(tmp_path / "a.json", (ID, OUTLINE), size=(80, 120)))
    assert found.status == "mask_rejected" and "120 x 80" in found.reason


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"images": [{}], "annotations": []}', "\xff"])
def test_no_coco_file_is_named(tmp_path, text):
    (tmp_path / "a.json").write_text(text, encoding="latin-1")
    with pytest.raises(UserError, match=r"a\.json"):
        ask(tmp_path / "a.json")
    with pytest.raises(UserError, match="none"):
        ask(tmp_path / "none")


def test_a_changed_mask_changes_the_key_of_its_photo_alone(tmp_path):
    png(tmp_path), png(tmp_path, name="b/2.png")
    segmenter = segmenters.build("imported", {"root": tmp_path})
    before = [segmenter.key_for(p) for p in (ID, "b/2.jpg", "b/none.jpg")]
    png(tmp_path, ~FISH, "b/2.png")
    after = [segmenter.key_for(p) for p in (ID, "b/2.jpg", "b/none.jpg")]
    assert [x == y for x, y in zip(before, after, strict=True)] == [True, False, True]
    json.dumps([segmenter.key, after])
    notes = [((ID, OUTLINE), ("b/2.jpg", other)) for other in (OUTLINE, RUNS)]
    lists = [as_coco(tmp_path / f"{i}.json", *entries) for i, entries in enumerate(notes)]
    one, two = (segmenters.build("imported", {"root": path}) for path in lists)
    assert one.key_for(ID) == two.key_for(ID) and one.key_for("b/2.jpg") != two.key_for("b/2.jpg")


# GrabCut


def scene(seed=0, size=(240, 320)):
    """A silver ellipse on mottled ground."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[: size[0], : size[1]]
    fish = ((x - size[1] * 0.5) / (size[1] * 0.3)) ** 2 + ((y - size[0] * 0.55) / (size[0] * 0.15)) ** 2 < 1
    ground = np.array([60, 110, 70]) + random.normal(0, 18, (*size, 3))
    silver = np.array([190, 190, 205]) + random.normal(0, 8, (*size, 3))
    return np.where(fish[..., None], silver, ground).clip(0, 255).astype(np.uint8), fish


def test_grabcut_finds_what_stands_out_and_repeats_itself():
    image, fish = scene()
    segmenter = segmenters.build("grabcut", {"side": 160})
    found, again = segmenter.segment([image, image], ["a", "b"])
    assert found.status == "ok" and masks.iou(found.mask, fish) > 0.9
    assert (found.mask == again.mask).all()
    assert found.mask.shape == fish.shape and found.box.tolist() == masks.box_of(found.mask).tolist()


@pytest.mark.parametrize("size", [(1, 1), (5, 300), (40, 40), (200, 30)])
@pytest.mark.parametrize("shade", [0, 128, 255])
def test_grabcut_answers_for_flat_and_tiny_photos(size, shade):
    image = np.full((*size, 3), shade, np.uint8)
    [found] = segmenters.build("grabcut", {"side": 64}).segment([image], ["a"])
    assert found.status == "ok" or found.reason
    assert (found.mask is not None) == (found.status == "ok")


@pytest.mark.parametrize("shade", [0, 128, 255])
@pytest.mark.parametrize("spots", [0, 300])
def test_grabcut_finds_nothing_in_a_photo_of_one_colour(shade, spots):
    image = np.full((300, 400, 3), shade, np.uint8)
    image.reshape(-1, 3)[:: 120000 // spots if spots else 120000] = 90  # dust on a blank scan
    [found] = segmenters.build("grabcut").segment([image], ["a"])
    assert found.status == "no_detection" and found.reason == "the photo is of one colour, nothing stands out"


FEW_COLOURS = """
import numpy as np
from fishlib.removal import segmenters
segmenter = segmenters.build("grabcut")
stripes = np.full((310, 311, 3), (1, 0, 0), np.uint8)
stripes[:, :32] = (0, 0, 1)
corner = np.full((234, 243, 3), (255, 254, 252), np.uint8)
corner[:, :33] = (254, 248, 253)
corner[182:, 29:33] = (253, 238, 253)
for picture in (stripes, corner):
    first, again = segmenter.segment([picture, picture], ["a", "b"])
    assert first.status == again.status and first.reason == again.reason
print("done")
"""


def test_grabcut_ends_on_pictures_of_few_colours():
    """In a process of its own: OpenCV's cut of such pictures, as they are, never ended."""
    done = subprocess.run([sys.executable, "-c", FEW_COLOURS], capture_output=True, text=True, timeout=300)
    assert done.stdout == "done\n", done.stderr


def test_grabcut_cuts_a_fish_on_plain_ground():
    """A specimen laid on white: few colours, but for the fish."""
    image, fish = scene()
    image = np.where(fish[..., None], image // 2, 255).astype(np.uint8)
    [found] = segmenters.build("grabcut").segment([image], ["a"])
    assert found.status == "ok" and masks.iou(found.mask, fish) > 0.9


@pytest.mark.parametrize("wrong", [{"iterations": 10**9}, {"iterations": 0}, {"side": 1}, {"seed": -1}, {"side": "x"}])
def test_grabcut_names_a_wrong_parameter(wrong):
    with pytest.raises(UserError, match=next(iter(wrong))):
        segmenters.build("grabcut", wrong)


def test_grabcut_parameters():
    key = segmenters.build("grabcut", {"iterations": 1}).key
    assert key["iterations"] == 1 and key != segmenters.build("grabcut").key
    with pytest.raises(UserError, match="colour"):
        segmenters.build("grabcut", {"colour": 1})


def test_an_unknown_method_is_named():
    with pytest.raises(UserError, match="nonsense"):
        segmenters.build("nonsense")


def test_grey_masks_are_cut_at_128(tmp_path):
    (tmp_path / "種 a").mkdir()
    Image.fromarray(np.where(FISH, 128, 127).astype(np.uint8)).save(tmp_path / "種 a" / "写真 1.b.png")
    assert (ask(tmp_path).mask == FISH).all()


def test_methods_are_described_without_the_packages_of_their_networks():
    """A finished run asks for nothing but the keys, and these packages take many seconds to import."""
    code = (
        "import sys; from fishlib.removal import segmenters, segments; from fishlib.naming import inference, sweep\n"
        "assert all(segmenters.build(m, {}, 'auto').key for m in ('gdino-sam', 'sam-clip', 'detic', 'grabcut'))\n"
        "print([m for m in ('torch', 'timm', 'transformers', 'groundingdino', 'onnxruntime') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
