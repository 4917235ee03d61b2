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


def given(root, *photo_ids):
    """The segmenter of masks for photos of 60 x 40 pixels."""
    sizes = dict.fromkeys(photo_ids or [ID], (40, 60))
    return segmenters.build("imported", {"root": str(root), "sizes": sizes})


def ask(root, image=PHOTO, photo_id=ID, others=()):
    return given(root, photo_id, *others).segment([image], [photo_id])[0]


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
    assert ask(png(tmp_path / "1", name="x.png"), photo_id="x.jpg").status == "ok"
    assert ask(png(tmp_path / "2", name="カ\u3099/x.png"), photo_id="ガ/x.jpg").status == "ok"
    assert ask(png(tmp_path / "3", name="ギ/x.png"), photo_id="キ\u3099/x.jpg").status == "ok"


def test_the_working_copy_gets_the_mask_in_its_own_pixels(tmp_path):
    found = ask(png(tmp_path), PHOTO[::2, ::2])
    assert found.mask.shape == (20, 30)
    assert (found.mask == masks.resize_mask(FISH, (20, 30))).all()
    assert found.box.max() <= 30


@pytest.mark.parametrize(
    ("made", "status", "reason"),
    [
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
    found = ask(root, photo_id=photo_id, others=[ID])
    assert (found.status, found.reason) == ("no_detection", "no mask file")


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
    one = as_coco(tmp_path / "one.json", ("1.jpg", OUTLINE), (ID, OUTLINE))
    assert ask(one, photo_id="a/1.jpg", others=["b/1.jpg", ID]).status == "no_detection"
    two = as_coco(tmp_path / "two.json", ("a/1.jpg", None), ("x/1.jpg", OUTLINE), (ID, OUTLINE))
    assert ask(two, photo_id="a/1.jpg", others=[ID]).status == "no_detection"


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
    assert given(tmp_path / "a.json").key_for(ID)


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
    segmenter = given(tmp_path, ID, "b/2.jpg", "b/none.jpg")
    before = [segmenter.key_for(p) for p in (ID, "b/2.jpg", "b/none.jpg")]
    png(tmp_path, ~FISH, "b/2.png")
    after = [segmenter.key_for(p) for p in (ID, "b/2.jpg", "b/none.jpg")]
    assert [x == y for x, y in zip(before, after, strict=True)] == [True, False, True]
    json.dumps([segmenter.key, after])
    notes = [((ID, OUTLINE), ("b/2.jpg", other)) for other in (OUTLINE, RUNS)]
    lists = [as_coco(tmp_path / f"{i}.json", *entries) for i, entries in enumerate(notes)]
    one, two = (given(path, ID, "b/2.jpg") for path in lists)
    assert one.key_for(ID) == two.key_for(ID) and one.key_for("b/2.jpg") != two.key_for("b/2.jpg")


def test_masks_that_match_no_photo_are_said(tmp_path):
    png(tmp_path, name="other/1.png"), png(tmp_path, name="other/2.png")
    with pytest.raises(UserError, match=r"0 of 2 masks match a photo \(first: other/1\.png\)"):
        given(tmp_path)
    with pytest.raises(UserError, match="0 of 1 masks"):
        given(as_coco(tmp_path / "a.json", ("other.jpg", OUTLINE)))
    png(tmp_path)
    assert given(tmp_path).notes == [f"{tmp_path.name}: 1 of 3 masks match a photo (first that does not: other/1.png)."]


@pytest.mark.parametrize(
    "name", ["写真 1.b_mask.png", "種 a/写真 1.b.jpg.png", "masks/種 a/写真 1.B.PNG", "写真 1.b.png"]
)
def test_names_as_programs_make_them(tmp_path, name):
    segmenter = given(png(tmp_path, name=name))
    [found] = segmenter.segment([PHOTO], [ID])
    assert (found.mask == FISH).all()
    [note] = segmenter.notes
    assert "1 by another name" in note and name in note


def picture(root, values, **options):
    path = (root / ID).with_suffix(".png")
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path, **options)
    return root


def fishy():
    """A photo, uint8 (40, 60, 3): a fish, dark at its head and light at its tail, on a ground of another shade."""
    shades = np.tile(np.linspace(20, 250, 60), (40, 1))
    ground = shades[::-1, ::-1]
    return np.dstack([np.where(FISH, shades, ground).astype(np.uint8)] * 3)


def test_a_cut_out_gives_its_alpha(tmp_path):
    alpha = FISH.astype(np.uint8) * 255
    assert (ask(picture(tmp_path, np.dstack([fishy(), alpha]))).mask == FISH).all()


@pytest.mark.parametrize("ground", [0, 255, None])
def test_a_photo_or_a_cut_out_on_a_plain_ground_is_no_mask(tmp_path, ground):
    values = fishy()
    if ground is not None:
        values = np.where(FISH[..., None], values, ground).astype(np.uint8)
    found = ask(picture(tmp_path, values))
    assert found.status == "mask_rejected" and "this is no mask" in found.reason


def test_two_values_of_any_kind_are_a_mask(tmp_path):
    assert (ask(picture(tmp_path, FISH.astype(np.uint8))).mask == FISH).all()
    assert (ask(picture(tmp_path, np.where(FISH, 90, 30).astype(np.uint8))).mask == FISH).all()


def coco_of(path, categories, *annotations, images=((ID, (40, 60)),)):
    """categories: names, numbered from 1. annotations: dicts, of image 0 unless they say another."""
    listed = [{"id": i, "file_name": name, "height": h, "width": w} for i, (name, (h, w)) in enumerate(images)]
    named = [{"id": i, "name": name} for i, name in enumerate(categories, 1)]
    data = {"images": listed, "categories": named, "annotations": [{"image_id": 0} | a for a in annotations]}
    path.write_text(json.dumps(data), encoding="utf-8")
    return path


RULER = [[0, 30, 60, 30, 60, 40, 0, 40]]


@pytest.mark.parametrize("fish", ["fish", "Fish body", "種 A", "魚"])
def test_only_categories_of_fish_count(tmp_path, fish):
    ours = {"category_id": 1, "segmentation": OUTLINE}
    ruler = {"category_id": 2, "segmentation": RULER}
    segmenter = given(coco_of(tmp_path / "a.json", [fish, "fishing ruler"], ours, ruler))
    [found] = segmenter.segment([PHOTO], [ID])
    assert (found.mask == FISH).all()
    assert segmenter.notes == [f"a.json: the category {fish} is fish; left out: fishing ruler (1 annotations)."]


def test_one_category_is_taken_whatever_it_is_called_and_of_several_one_must_be_fish(tmp_path):
    ruler = {"category_id": 2, "segmentation": RULER}
    alone = coco_of(tmp_path / "a.json", ["x", "object"], ruler)
    assert ask(alone).status == "ok"
    with pytest.raises(UserError, match=r"a\.json has the categories thing, object, and none is called fish"):
        given(coco_of(tmp_path / "a.json", ["thing", "object"], {"category_id": 1, "segmentation": OUTLINE}, ruler))


def test_what_a_coco_file_says_wrongly_is_a_reason_and_the_rest_is_used(tmp_path):
    names = ["a/1.jpg", "a/2.jpg", "a/3.jpg", "a/4.jpg"]
    path = coco_of(
        tmp_path / "a.json",
        ["fish"],
        {"id": 7, "image_id": 99, "segmentation": OUTLINE},
        {"image_id": 0, "segmentation": OUTLINE[0]},
        {"image_id": 1, "segmentation": [], "bbox": [1, 2, 3, 4]},
        {"image_id": 2, "segmentation": [[1, 2, 3, 4]]},
        images=[(name, (40, 60)) for name in names],
    )
    segmenter = given(path, *names)
    flat, boxes, short, none = segmenter.segment([PHOTO] * 4, names)
    assert (flat.mask == FISH).all()
    assert boxes.reason == "boxes only, no outline"
    assert short.reason == "an outline of 4 numbers is no polygon"
    assert (none.status, none.reason) == ("no_detection", "no fish in the COCO file")
    assert (
        "a.json: annotation 7 names image 99, which the file does not list (1 such were left out)." in segmenter.notes
    )


@pytest.mark.parametrize(
    "outline", [OUTLINE, {"size": [10**9, 10**9], "counts": "0"}, {"size": [10**9, 10**9], "counts": []}]
)
def test_sizes_are_held_against_the_photo_before_anything_is_drawn(tmp_path, outline):
    huge = coco_of(tmp_path / "a.json", ["fish"], {"segmentation": outline}, images=[(ID, (10**9, 10**9))])
    assert "1000000000 x 1000000000" in ask(huge).reason
    unsaid = coco_of(tmp_path / "b.json", ["fish"], {"segmentation": outline}, images=[(ID, (0, 0))])
    found = ask(unsaid)
    assert found.status == ("ok" if outline is OUTLINE else "mask_rejected")


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
