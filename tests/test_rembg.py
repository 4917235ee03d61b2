"""rembg's sessions over tiny networks of their signature: its own preparation, our reading of the answer."""

import json
import warnings

import numpy as np
import pytest
from PIL import Image
from small_models import small_onnx as network

from fishlib.errors import NotRun, UserError
from fishlib.photos import masks
from fishlib.removal import segmenters
from fishlib.removal.segmenters import rembg

SIDE = {"u2net": 320, "isnet-general-use": 1024, "birefnet-general": 1024}


def photo(h=60, w=100):
    """A red ellipse on black, and which pixels it has."""
    y, x = np.mgrid[:h, :w] + 0.5
    ellipse = ((x - 55) / 30) ** 2 + ((y - 28) / 15) ** 2 <= 1
    image = np.zeros((h, w, 3), np.uint8)
    image[ellipse, 0] = 255
    return image, ellipse


@pytest.fixture
def cut(tmp_path):
    """cut(image, session, threshold, of the network...): what the method makes of it."""

    def run(image, session="u2net", threshold=0.5, **of_the_network):
        file = network(tmp_path / f"{session}.onnx", **of_the_network)
        method = segmenters.build("rembg", {"session": session, "model": file, "threshold": threshold})
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # rembg divides by the range of the answer, which may be 0
            warnings.filterwarnings("ignore", "'mode' parameter", DeprecationWarning)
            [found] = method.segment([image], ["a/1.jpg"])
        return found

    return run


# the first channel of a black pixel is (0 - 0.485) / 0.229 = -2.1, of a red one (1 - 0.485) / 0.229 = 2.2
@pytest.mark.parametrize("session", SIDE)
def test_what_stands_out_is_cut_at_the_photos_size(cut, session):
    image, ellipse = photo()
    logits = session.startswith("birefnet")  # the other networks answer with probabilities
    found = cut(image, session, gain=12.0, sigmoid=not logits, name="input_image" if logits else "input.1")
    assert found.status == "ok" and found.mask.dtype == bool and masks.iou(found.mask, ellipse) > 0.95
    np.testing.assert_array_equal(found.box, masks.box_of(found.mask))
    assert np.isnan(found.score) and found.detail["highest"] > 0.99


def test_a_faint_ghost_and_an_empty_photo_are_no_detection(cut):
    """rembg stretches what is highest to white: here 0.2 of 1, which is no mask at all."""
    image, ellipse = photo()
    faint = {"gain": 0.1 / 4.3, "offset": 0.15}  # 0.1 for black to 0.2 for red
    found = cut(image, **faint)
    assert found.status == "no_detection" and found.mask is None and found.box is None
    assert "0.20, 0.5 is needed" in found.reason and found.detail["highest"] == pytest.approx(0.2, abs=0.01)
    assert masks.iou(cut(image, threshold=0.15, **faint).mask, ellipse) > 0.95
    assert cut(np.zeros((60, 100, 3), np.uint8), **faint).status == "no_detection"  # one value: no range to stretch


def test_where_the_answer_has_its_full_range_the_mask_is_rembgs(tmp_path):
    random = np.random.default_rng(0)
    image = np.repeat(np.repeat(random.integers(0, 256, (7, 9, 3), np.uint8), 9, 0), 9, 1)
    image[:9, :9], image[-9:, -9:] = 0, 255
    low, high = (0 - 0.485) / 0.229, (1 - 0.485) / 0.229
    file = network(tmp_path / "u2net.onnx", gain=1 / (high - low), offset=-low / (high - low))
    method = rembg.build({"session": "u2net", "model": file})
    [theirs] = method.session.predict(Image.fromarray(image))
    [ours] = method.segment([image], ["a"])
    grey = np.asarray(theirs)
    clear = np.abs(grey.astype(int) - 127.5) > 1.5  # theirs is rounded to whole greys
    assert 0.1 < ours.mask.mean() < 0.9 and clear.mean() > 0.9
    np.testing.assert_array_equal(ours.mask[clear], (grey > 127)[clear])


@pytest.mark.parametrize("channel", [0, 2], ids=["red", "blue"])
@pytest.mark.parametrize("session", SIDE)
def test_colours_arrive_unswapped_and_prepared_as_rembg_does(tmp_path, session, channel):
    file = network(tmp_path / "net.onnx", gain=0.1, offset=0.3, name="given")
    method = rembg.build({"session": session, "model": file})
    image, seen = np.zeros((20, 30, 3), np.uint8), []
    image[..., channel] = 250
    inner = method.session.inner_session
    real = inner.session.run
    method.session.inner_session.session = type(
        "Seeing", (), {"run": lambda self, n, given, *o: (seen.append(given["given"]), real(n, given, *o))[1],
                       "get_inputs": inner.session.get_inputs},
    )()  # fmt: skip
    method.segment([image], ["a"])
    [pixels] = seen
    assert pixels.shape == (1, 3, SIDE[session], SIDE[session]) and int(pixels.max((0, 2, 3)).argmax()) == channel


def test_the_session_never_downloads(tmp_path, monkeypatch):
    import pooch

    monkeypatch.setattr(pooch, "retrieve", lambda *_, **__: pytest.fail("asked the network"))
    monkeypatch.setenv("REMBG_HOME", str(tmp_path / "home"))
    file = network(tmp_path / "u2net.onnx", gain=0.1, offset=0.3)
    rembg.build({"session": "u2net", "model": file}).segment([photo()[0]], ["a"])
    assert not (tmp_path / "home").exists()


def test_what_rembg_offers_is_known_and_what_is_no_cutter_is_refused():
    offered = rembg.sessions()
    assert set(rembg.SESSIONS) <= set(offered)
    local = {name for name, session in offered.items() if getattr(session, "is_local", lambda: True)()}
    left_out = local - set(rembg.SESSIONS)
    assert left_out <= {"sam", "u2net_cloth_seg", "u2net_custom", "dis_custom", "ben_custom"}, "a new session of rembg"
    for name in ("withoutbg", "atlascloud", "sam", "nothing"):
        with pytest.raises(UserError, match=f"session is '{name}'; choose one of u2net"):
            rembg.build({"session": name})


def test_a_missing_package_and_a_missing_file_are_named(tmp_path, monkeypatch):
    monkeypatch.setenv("FISHLIB_WEIGHTS", str(tmp_path))
    with pytest.raises(NotRun, match="fishlib weights fetch rembg_u2net"):
        rembg.build({})
    with pytest.raises(NotRun, match="fishlib weights fetch rembg_isnet-general-use"):
        rembg.build({"session": "isnet-general-use"})
    with pytest.raises(NotRun, match=r"rembg_u2net_human_seg is missing"):  # not in the manifest: a file of one's own
        rembg.build({"session": "u2net_human_seg"})
    monkeypatch.setattr(rembg.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(NotRun, match=r"install fishlib\[rembg\]"):
        rembg.build({})


def test_a_file_that_is_no_network_of_the_session_is_named(tmp_path):
    image = photo()[0]
    (tmp_path / "text.onnx").write_text("no network")
    with pytest.raises(NotRun, match=r"text\.onnx cannot be opened as rembg's u2net"):
        rembg.build({"model": str(tmp_path / "text.onnx")}).segment([image], ["a"])
    logits = network(tmp_path / "logits.onnx", gain=4.0)  # of a BiRefNet, named as a U-2-Net
    with pytest.raises(NotRun, match=r"logits\.onnx is no network of rembg's u2net: its answers are no probabilities"):
        rembg.build({"model": logits}).segment([image], ["a"])
    other = network(tmp_path / "namer.onnx", flat=True)
    with pytest.raises(NotRun, match=r"namer\.onnx is no network of rembg's u2net: it fails on a photo"):
        rembg.build({"model": other}).segment([image], ["a"])


def test_keys_and_label(tmp_path):
    a, b = network(tmp_path / "a.onnx"), network(tmp_path / "b.onnx", gain=2.0)
    keys = [
        json.dumps(segmenters.build("rembg", options).key, sort_keys=True)
        for options in ({"model": a}, {"model": b}, {"model": a, "threshold": 0.4}, {"model": a, "session": "silueta"})
    ]
    assert len(set(keys)) == 4 and str(tmp_path) not in "".join(keys)
    assert segmenters.label("rembg", {"model": a}) == "rembg"
