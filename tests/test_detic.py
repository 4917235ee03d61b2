import json

import numpy as np
import onnx
import pytest
from fakes import detic as export
from fakes import detic_of_opset_11
from onnx import TensorProto, helper

from fishlib.errors import NotRun
from fishlib.removal.segmenters import detic

FISH, GOLDFISH, OTHER = 446, 502, 3


def red(h=240, w=320):
    photo = np.zeros((h, w, 3), np.uint8)
    photo[..., 0] = 255
    return photo


FULL = np.ones((28, 28))
HALF = np.tile(np.arange(28) < 14, (28, 1))


def cut(path, photo=None, **options):
    [found] = detic.build({"model": str(path), **options}).segment([red() if photo is None else photo], ["a"])
    return found


def test_fish_and_its_neighbours_are_pasted_and_joined(tmp_path):
    # the 240 x 320 photo is given at 800 x 1067: a third of these coordinates in the photo
    boxes = [[300, 300, 600, 450], [600, 450, 750, 600], [0, 0, 90, 90], [0, 0, 300, 300]]
    path = export(
        tmp_path / "d.onnx",
        boxes,
        [0.9, 0.6, 0.4, 0.8],
        [FISH, GOLDFISH, FISH, OTHER],
        [HALF, FULL, FULL, FULL],
    )
    found = cut(path)
    expected = np.zeros((240, 320), bool)
    expected[90:135, 90:135] = expected[135:180, 180:225] = True
    assert found.status == "ok" and found.score == pytest.approx(0.9, rel=3e-3)
    assert np.count_nonzero(found.mask ^ expected) <= 0.03 * expected.sum()
    np.testing.assert_allclose(found.box, [90, 90, 225, 180], rtol=2e-3)
    kept = json.loads(json.dumps(found.detail))
    assert kept["classes"] == [FISH, GOLDFISH] and len(kept["candidates"]) == 2 and "LVIS" in kept["deviation"]
    assert cut(path, classes=[FISH]).detail["classes"] == [FISH]
    assert len(cut(path, threshold=0.3).detail["scores"]) == 3


def test_an_export_that_is_told_the_photos_size_answers_at_that_size(tmp_path):
    shares = [[0.25, 0.25, 0.5, 0.5], [0.5, 0.5, 0.75, 0.75], [0, 0, 0.1, 0.1]]
    path = export(tmp_path / "op16.onnx", shares, [0.9, 0.6, 0.8], [FISH, GOLDFISH, OTHER])
    expected = np.zeros((240, 320), bool)
    expected[60:120, 80:160] = expected[120:180, 160:240] = True
    found = cut(path)
    np.testing.assert_array_equal(found.mask, expected)
    np.testing.assert_allclose(found.box, [80, 60, 240, 180])
    assert found.score == pytest.approx(0.9, rel=3e-3) and len(found.detail["candidates"]) == 2
    assert cut(path, threshold=0.95).status == "no_detection"
    assert cut(path, red()[..., ::-1]).status == "no_detection"


def test_an_export_that_this_onnxruntime_cannot_open_is_not_run(tmp_path):
    path = detic_of_opset_11(tmp_path / "old.onnx")
    with pytest.raises(NotRun, match=r"old\.onnx cannot be opened by onnxruntime .*Clip") as said:
        cut(path)
    assert str(said.value).count("old.onnx") == 1


def test_an_export_that_fails_on_a_photo_is_not_run(tmp_path):
    path = export(tmp_path / "d.onnx", [[300, 300, 600, 450]], [0.9], [FISH], [FULL])
    model = onnx.load(path)
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 7  # no photo is given 7 pixels high
    onnx.save(model, path)
    with pytest.raises(NotRun, match=r"d\.onnx is no Detic export: it fails on a photo"):
        cut(path)


def test_blue_is_not_red_and_0_to_255_is_the_range(tmp_path):
    path = export(tmp_path / "d.onnx", [[300, 300, 600, 450]], [0.9], [FISH], [FULL])
    assert cut(path).score == pytest.approx(0.9, rel=3e-3)
    assert cut(path, red()[..., ::-1]).status == "no_detection"


@pytest.mark.parametrize(
    "boxes, parts", [(np.zeros((0, 4)), []), ([[0, 0, 0, 50]], [FULL]), ([[-90, -90, -10, -10]], [FULL])]
)
def test_nothing_found(tmp_path, boxes, parts):
    path = export(tmp_path / "d.onnx", boxes, [0.9] * len(boxes), [FISH] * len(boxes), parts)
    found = cut(path)
    assert (found.status, found.mask, found.box) == ("no_detection", None, None) and "0.5" in found.reason


def test_a_box_without_a_mask_is_rejected(tmp_path):
    found = cut(export(tmp_path / "d.onnx", [[300, 300, 600, 450]], [0.9], [FISH], [0 * FULL]))
    assert found.status == "mask_rejected" and found.mask is None and found.box is not None


@pytest.mark.parametrize("size, expected", [
    ((480, 640), (800, 1067)), ((640, 480), (1067, 800)),
    ((100, 1000), (133, 1333)), ((1600, 1600), (800, 800)),
    ((1, 900), (1, 1333)),
])  # fmt: skip
def test_the_input_is_the_exports_own_preparation(size, expected):
    pixels = detic.to_input(np.full((*size, 3), 7, np.uint8), 800, 1333)
    assert pixels.shape == (1, 3, *expected) and pixels.dtype == np.float32 and (pixels == 7).all()


@pytest.mark.parametrize("box", [[10, 5, 38, 33], [2.5, 3.5, 50.25, 20], [-10, -4, 30, 60], [10, 10, 10.5, 40]])
def test_paste_is_detectron2s_sampling(box):
    import torch

    mask = np.random.default_rng(0).random((28, 28)).astype(np.float32)
    (h, w), (x0, y0, x1, y1) = (48, 64), box
    y, x = ((torch.arange(n) + 0.5 - a) / (b - a) * 2 - 1 for n, a, b in ((h, y0, y1), (w, x0, x1)))
    grid = torch.stack(torch.broadcast_tensors(x[None, :], y[:, None]), -1)[None].float()
    exact = torch.nn.functional.grid_sample(torch.from_numpy(mask)[None, None], grid, align_corners=False)[0, 0].numpy()
    pasted = detic.paste(mask, np.float32(box), (h, w))
    clear = np.abs(exact - 0.5) > 0.02  # OpenCV's weights have five bits
    np.testing.assert_array_equal(pasted[clear], (exact >= 0.5)[clear])


def test_a_wrong_file_is_named(tmp_path, monkeypatch):
    (tmp_path / "cut.onnx").write_bytes(b"no model")
    with pytest.raises(NotRun, match=r"cut\.onnx cannot be opened by onnxruntime"):
        cut(tmp_path / "cut.onnx")
    one = (
        helper.make_tensor_value_info("x", TensorProto.FLOAT, [1]),
        helper.make_tensor_value_info("y", TensorProto.FLOAT, [1]),
    )
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "other", [one[0]], [one[1]])
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9),
        tmp_path / "other.onnx",
    )
    with pytest.raises(NotRun, match=r"other\.onnx is no Detic export"):
        cut(tmp_path / "other.onnx")
    monkeypatch.setenv("FISHLIB_WEIGHTS", str(tmp_path))
    with pytest.raises(NotRun, match="Detic_C2_SwinB"):
        detic.build({"model": "detic"})


def test_the_key_follows_the_file_and_the_options(tmp_path):
    a, b = (export(tmp_path / f"{n}.onnx", [[0, 0, 9, 9]], [n], [FISH], [FULL]) for n in (0.5, 0.6))
    keys = [
        json.dumps(detic.build(o).key)
        for o in ({"model": str(a)}, {"model": str(b)}, {"model": str(a), "threshold": 0.3})
    ]
    assert len(set(keys)) == 3
