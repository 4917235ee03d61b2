import os
import struct
import sys
import zlib

import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from fishlib.errors import UnreadablePhoto, UserError
from fishlib.files.frames import write_frame
from fishlib.photos import decode
from fishlib.photos.draws import draw_shots, split_half
from fishlib.photos.manifest import read_manifest, scan

RAMP = np.uint8(np.arange(6 * 4 * 3).reshape(6, 4, 3) * 3)  # 6 high, 4 wide, no symmetry

PINNED = ["a/22.jpg", "a/44.jpg", "b/18.jpg", "b/47.jpg"]


def photo(path, shade=90, size=(8, 6), **more):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (shade, 60, 30)).save(path, **more)
    return path


@pytest.fixture
def tree(tmp_path):
    for name in ("a/1.jpg", "a/2.png", "キハダ/写真 🐟.jpg", "b's \"<i>&, b/x.webp"):
        photo(tmp_path / name)
    return tmp_path


def rows(tree):
    return scan(tree).set_index("photo_id")


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1", "CMYK", "I;16", "YCbCr"])
def test_every_mode_becomes_rgb(tmp_path, mode):
    path = tmp_path / ("a.tif" if mode in ("CMYK", "YCbCr") else "a.png")
    grey = np.full((5, 7), 200, np.uint8)
    if mode == "I;16":
        Image.fromarray(grey.astype(np.uint16) * 257).save(path)
    else:
        picture = Image.fromarray(grey).convert("RGB")
        (picture.quantize(4) if mode == "P" else picture.convert(mode)).save(path)
    image = decode.decode(path)
    assert (image.shape, image.dtype) == ((5, 7, 3), np.uint8)
    wanted = [0, 255] if mode == "1" else [199, 200, 201]
    assert np.isin(image, wanted).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_is_turned(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(RAMP).save(tmp_path / "a.png", exif=exif)
    wanted = {
        1: RAMP, 2: RAMP[:, ::-1], 3: RAMP[::-1, ::-1], 4: RAMP[::-1], 5: RAMP.transpose(1, 0, 2),
        6: np.rot90(RAMP, -1), 7: RAMP[::-1, ::-1].transpose(1, 0, 2), 8: np.rot90(RAMP),
    }[orientation]  # fmt: skip
    assert (decode.decode(tmp_path / "a.png") == wanted).all()


def test_broken_exif_leaves_the_pixels(tmp_path):
    Image.fromarray(RAMP).save(tmp_path / "a.png", exif=b"Exif\0\0rubbish")
    assert (decode.decode(tmp_path / "a.png") == RAMP).all()


def test_16_bits_are_scaled_not_clipped(tmp_path):
    Image.fromarray(np.uint16([[0, 128, 129, 256, 32768, 65535]])).save(tmp_path / "a.png")
    assert decode.decode(tmp_path / "a.png")[0, :, 1].tolist() == [0, 0, 1, 1, 128, 255]
    cv2.imwrite(str(tmp_path / "b.png"), np.full((2, 2, 3), (65535, 32768, 0), np.uint16))
    assert decode.decode(tmp_path / "b.png")[0, 0].tolist() == [0, 128, 255]


def test_transparent_lies_on_white(tmp_path):
    Image.fromarray(np.uint8([[[10, 20, 30, 0], [10, 20, 30, 255], [0, 0, 0, 51]]])).save(tmp_path / "a.png")
    assert decode.decode(tmp_path / "a.png")[0].tolist() == [[255] * 3, [10, 20, 30], [204] * 3]
    assert decode.decode(tmp_path / "a.png", background="black")[0, 0].tolist() == [0, 0, 0]
    palette = Image.new("P", (2, 1), 1)
    palette.putpalette([0, 0, 0, 9, 9, 9])
    palette.save(tmp_path / "b.png", transparency=1)
    assert (decode.decode(tmp_path / "b.png") == 255).all()


def bomb():
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 20_000, 20_000, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


def truncated(tmp_path, name):
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)).save(tmp_path / name)
    data = (tmp_path / name).read_bytes()
    return data[: len(data) // 2]


def bad_files(tmp_path):
    Image.fromarray(np.float32([[0.5]])).save(tmp_path / "f.tif")
    Image.fromarray(np.int32([[1 << 20]])).save(tmp_path / "i.tif")
    return {
        "zero.jpg": (b"", "empty"),
        "text.jpg": (b"no photo at all", "no picture"),
        "half.jpg": (truncated(tmp_path, "t.jpg"), "truncated"),
        "half.png": (truncated(tmp_path, "t.png"), "cannot be decoded"),
        "half.webp": (truncated(tmp_path, "t.webp"), ""),
        "bomb.png": (bomb(), "exceeds limit"),
        "float.tif": ((tmp_path / "f.tif").read_bytes(), "no fixed range"),
        "int.tif": ((tmp_path / "i.tif").read_bytes(), "no fixed range"),
        "script.jpg": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "no picture"),
        "phone.heic": (b"\0\0\0\x18ftypheic", "JPEG"),
        "notes.txt": (b"notes", "not a photo (.txt)"),
        "README": (b"notes", "not a photo (no suffix)"),
    }


def test_decode_names_the_file_and_the_reason(tmp_path):
    for name, (data, reason) in bad_files(tmp_path).items():
        (tmp_path / name).write_bytes(data)
        if "not a photo" not in reason:
            with pytest.raises(UnreadablePhoto) as error:
                decode.decode(tmp_path / name)
            assert name in str(error.value) and "0x" not in str(error.value)
    with pytest.raises(UnreadablePhoto, match="No such file"):
        decode.decode(tmp_path / "gone.jpg")


@given(st.integers(1, 300), st.integers(1, 300), st.integers(1, 200))
def test_working_copy(height, width, side):
    image = decode.working(np.full((height, width, 3), 77, np.uint8), side)
    assert max(image.shape) == max(3, min(side, max(height, width)))
    assert (image == 77).all()
    if side >= max(height, width):
        assert image.shape == (height, width, 3)


def test_scan_lists_good_and_bad_and_round_trips(tree, tmp_path_factory):
    bad = bad_files(tmp_path_factory.mktemp("made"))
    for name, (data, _) in bad.items():
        (tree / "a" / name).write_bytes(data)
    for name in (".hidden.jpg", "Thumbs.db", "desktop.ini", "../curation.csv"):
        (tree / "a" / name).write_bytes(b"ignored")
    photo(tree / ".git" / "x.jpg")
    frame = scan(tree)
    assert frame["photo_id"].tolist() == sorted(frame["photo_id"])
    assert len(frame) == 4 + len(bad)
    assert frame[frame["status"] == "ok"]["species"].tolist() == ["a", "a", "b's \"<i>&, b", "キハダ"]
    for row in frame[frame["species"] == "a"].itertuples():
        data, reason = bad.get(row.photo_id[2:], (None, ""))
        assert row.status == ("ok" if data is None else "unreadable")
        assert reason in row.reason and bool(row.reason) == (data is not None)
        assert (row.width, row.height) == ((8, 6) if data is None else (0, 0))
    write_frame(frame, tree / "out" / "manifest.csv")
    pd.testing.assert_frame_equal(read_manifest(tree / "out" / "manifest.csv"), frame)


def test_species_named_like_a_missing_value(tree):
    photo(tree / "NA" / "001.jpg")
    photo(tree / "007" / "a.jpg")
    write_frame(scan(tree), tree / "m.csv")
    assert {"NA", "007"} <= set(read_manifest(tree / "m.csv")["species"])


def test_photos_outside_a_species_folder_are_excluded_with_a_reason(tree):
    photo(tree / "loose.jpg")
    photo(tree / "a" / "deep" / "1.jpg")
    found = rows(tree)
    assert found.loc["loose.jpg", ["status", "species"]].tolist() == ["excluded", ""]
    assert "species folder" in found.loc["loose.jpg", "reason"]
    assert found.loc["a/deep/1.jpg", ["status", "species"]].tolist() == ["excluded", "a"]


def test_two_photos_that_would_share_a_mask(tree):
    photo(tree / "a" / "2.jpg", 10)
    (tree / "a" / "1.png").write_bytes(b"")
    found = rows(tree)
    assert found.loc["a/2.jpg", "status"] == "ok"
    assert found.loc["a/2.png", "status"] == "excluded" and "a/2.jpg" in found.loc["a/2.png", "reason"]
    assert found.loc["a/1.jpg", "status"] == "ok"  # its twin is unreadable and has no mask


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_links(tree, tmp_path_factory):
    outside = photo(tmp_path_factory.mktemp("outside") / "s" / "secret.jpg")
    (tree / "a" / "out.jpg").symlink_to(outside)
    (tree / "a" / "in.jpg").symlink_to(tree / "a" / "1.jpg")
    (tree / "a" / "gone.jpg").symlink_to(tree / "a" / "nothing.jpg")
    (tree / "a" / "loop.jpg").symlink_to(tree / "a" / "loop.jpg")
    (tree / "all").symlink_to(outside.parent)
    (tree / "again").symlink_to(tree / "a")
    found = rows(tree)
    assert found.loc["a/in.jpg", "status"] == "ok"
    for name in ("a/out.jpg", "a/gone.jpg", "a/loop.jpg", "all", "again"):
        assert found.loc[name, "status"] == "unreadable" and found.loc[name, "reason"]
        assert found.loc[name, "sha256"] == ""
    assert "leads out" in found.loc["a/out.jpg", "reason"]
    assert len(found) == 10


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_a_name_that_is_not_utf8(tree):
    with open(os.fsencode(tree) + b"/a/\xff.jpg", "wb") as file:  # noqa: PTH123
        file.write((tree / "a" / "1.jpg").read_bytes())
    found = rows(tree)
    assert "UTF-8" in found.loc["a/\\xff.jpg", "reason"]
    write_frame(found.reset_index(), tree / "m.csv")


def test_decomposed_names_stay_openable_and_their_species_is_composed(tree):
    photo(tree / "カ\u3099" / "1.jpg")
    row = rows(tree).loc["カ\u3099/1.jpg"]
    assert row["species"] == "ガ" and (tree / row["path"]).is_file()


@pytest.mark.parametrize(("where", "says"), [("none", "not there"), ("file", "no folder"), ("empty", "no readable")])
def test_no_photos_is_one_clear_sentence(tmp_path, where, says):
    (tmp_path / "file").write_text("x")
    (tmp_path / "empty" / "a").mkdir(parents=True)
    with pytest.raises(UserError, match=says):
        scan(tmp_path / where)
    (tmp_path / "empty" / "a" / "x.txt").write_text("x")
    with pytest.raises(UserError):
        scan(tmp_path / where)


def test_manifest_and_frames_that_cannot_be(tmp_path):
    (tmp_path / "m.csv").write_text("photo_id,species\na,b\n")
    for name in ("m.csv", "none.csv"):
        with pytest.raises(UserError, match=name):
            read_manifest(tmp_path / name)
    with pytest.raises(UserError):
        write_frame(pd.DataFrame(), tmp_path / "m.csv" / "x.csv")


def test_frames_have_one_byte_form(tmp_path):
    frame = pd.DataFrame({"x": [0.1 + 0.2, float("nan"), np.float32(1 / 3)], "名": ["a\nb", "", 'q"']})
    write_frame(frame, tmp_path / "f.csv")
    assert (tmp_path / "f.csv").read_bytes().decode() == 'x,名\n0.3,"a\nb"\n,\n0.333333343,"q"""\n'
    assert [p.name for p in tmp_path.iterdir()] == ["f.csv"]


def manifest(**counts):
    names = [(f"{s}/{i}.jpg", s) for s, n in counts.items() for i in range(n)]
    return pd.DataFrame(names, columns=["photo_id", "species"])


@given(st.integers(0, 2**32), st.integers(0, 99), st.randoms())
def test_draws_are_nested_and_independent(seed, trial, random):
    all_rows = manifest(a=7, b=6, キハダ=9)
    draws = [draw_shots(all_rows, k, trial, seed) for k in range(1, 6)]
    for k, draw in enumerate(draws, 1):
        assert len(set(draw)) == 3 * k
        assert set(draw) <= set(draws[-1])
    order = list(range(len(all_rows)))
    random.shuffle(order)
    assert draw_shots(all_rows.iloc[order], 5, trial, seed) == draws[-1]
    alone = all_rows[all_rows["species"] != "b"]
    assert draw_shots(alone, 5, trial, seed) == [p for p in draws[-1] if p[0] != "b"]


def test_draws_are_the_same_everywhere_and_differ_by_trial():
    rows = manifest(a=50, b=50)
    assert draw_shots(rows, 2, 0, 0) == PINNED
    draws = {tuple(draw_shots(rows, 3, trial, seed)) for trial in range(5) for seed in range(5)}
    assert len(draws) == 25
    a, b = (draw_shots(rows, 10, 0, 0)[i : i + 10] for i in (0, 10))
    assert [x[1:] for x in a] != [x[1:] for x in b]


def test_too_few_photos_are_named():
    with pytest.raises(UserError, match=r"a \(5\)"):
        draw_shots(manifest(a=5, b=6), 5, 0, 0)


def test_halves():
    rows = manifest(a=7, b=2, c=1)
    train, test, alone = split_half(rows, 3)
    assert alone == ["c"]
    assert sorted(train + test) == sorted(rows["photo_id"][:9])
    assert [sum(p[0] == s for p in train) for s in "ab"] == [3, 1]
    assert split_half(rows.iloc[::-1], 3) == (train, test, alone)
    assert split_half(rows, 4)[0] != train
