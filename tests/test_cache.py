import numpy as np
import pytest

from fishlib import cache
from fishlib.errors import UserError
from fishlib.files import writing


def test_keys_depend_on_every_part_but_not_on_their_order():
    assert cache.key(a=1, b="x") == cache.key(b="x", a=1)
    assert cache.key(a=1, b="x") != cache.key(a=1, b="y")
    assert cache.key(a=1) != cache.key(b=1)


def test_arrays_come_back_and_absent_ones_are_none(tmp_path):
    path = cache.entry(tmp_path, "features", cache.key(a=1))
    assert cache.load(path) is None
    cache.save(path, x=np.arange(6).reshape(2, 3))
    assert (cache.load(path)["x"] == [[0, 1, 2], [3, 4, 5]]).all()


@pytest.mark.parametrize("broken", [b"", b"PK\x03\x04", b"no archive"])
def test_a_broken_artifact_counts_as_absent(tmp_path, broken):
    path = tmp_path / "a.npz"
    path.write_bytes(broken)
    assert cache.load(path) is None


def test_a_truncated_artifact_counts_as_absent(tmp_path):
    path = tmp_path / "a.npz"
    cache.save(path, x=np.random.default_rng(0).random(1000))
    path.write_bytes(path.read_bytes()[:3000])
    assert cache.load(path) is None


def test_pickled_objects_are_never_read(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, x=np.array([{"a": 1}], dtype=object))
    assert cache.load(path) is None or "x" not in cache.load(path)


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "a.txt"
    writing.write_text(path, "old")
    with pytest.raises(RuntimeError), writing.atomic(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_a_folder_that_cannot_be_made_is_a_users_mistake(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="cannot be written"):
        writing.write_text(tmp_path / "file" / "a.txt", "x")
