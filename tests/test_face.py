"""The public face: what `import fishlib` offers, its documentation and its examples."""

import doctest
import inspect
import pydoc
import subprocess
import sys
from importlib.metadata import version

import numpy as np
import pytest

import fishlib
from fishlib import UserError

HEAVY = ("torch", "pandas", "cv2", "numpy")
FUNCTIONS = [name for name in fishlib.__all__ if inspect.isfunction(getattr(fishlib, name))]


def test_importing_it_costs_next_to_nothing():
    code = f"import sys, fishlib; print([name for name in {HEAVY} if name in sys.modules])"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.strip() == "[]"


def test_help_names_all_of_it_in_a_fresh_process():
    code = "import pydoc, fishlib; print(pydoc.plain(pydoc.render_doc(fishlib)))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    for name in fishlib.__all__:
        assert f"{name}(" in said or f"class {name}" in said or name == "__version__", name
    assert version("fishlib") in said and pydoc.splitdoc(fishlib.__doc__)[0] in said
    assert not set(fishlib.__all__) - set(dir(fishlib))


@pytest.mark.parametrize("name", [None, *FUNCTIONS])
def test_every_example_runs(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    documented = fishlib if name is None else getattr(fishlib, name)
    example = doctest.DocTestParser().get_doctest(documented.__doc__, {"fishlib": fishlib}, str(name), None, 0)
    assert example.examples
    told = []
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    result = doctest.DocTestRunner(optionflags=flags).run(example, out=told.append)
    assert not result.failed, "".join(told)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'segmant'"):
        _ = fishlib.segmant


def test_what_is_no_photo_is_said_in_a_sentence(tmp_path):
    with pytest.raises(UserError, match=r"uint8 .H, W, 3. RGB or a file, not float64"):
        fishlib.segment(np.zeros((4, 4, 3)), "grabcut")
    with pytest.raises(UserError, match=r"nothing\.jpg is no readable photo"):
        fishlib.segment(tmp_path / "nothing.jpg", "grabcut")
    with pytest.raises(UserError, match="must have one size"):
        fishlib.composite(np.zeros((4, 4, 3), np.uint8), np.ones((2, 2), bool))
    with pytest.raises(UserError, match="must have one size"):
        fishlib.score(np.ones((2, 2), bool), np.ones((3, 3), bool))


def test_box_and_mask_are_at_the_photos_own_size():
    photo = np.zeros((700, 1400, 3), np.uint8)
    photo[100:300, 200:1000] = 255
    found = fishlib.segment(photo, lambda small: small[..., 0] > 128)
    assert found.mask.shape == (700, 1400) and found.mask[110:290, 210:990].all() and found.mask.mean() < 0.17
    np.testing.assert_allclose(found.box, [200, 100, 1000, 300], atol=3)
    crop = fishlib.composite(photo, found, background="transparent", crop=True)
    assert crop.shape[2] == 4 and abs(crop.shape[1] - 800) < 6 and crop[..., 3].mean() > 250
