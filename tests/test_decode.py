import hashlib
import struct
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from fishlib.errors import UnreadablePhoto
from fishlib.photos import decode, formats

RAMP = np.uint8(np.arange(6 * 4 * 3).reshape(6, 4, 3) * 3)  # 6 high, 4 wide, no symmetry


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
        "bomb.png": (bomb(), "400 million pixels"),
        "float.tif": ((tmp_path / "f.tif").read_bytes(), "no fixed range"),
        "int.tif": ((tmp_path / "i.tif").read_bytes(), "no fixed range"),
        "script.jpg": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "no picture"),
        "phone.heic": (b"\0\0\0\x18ftypheic", "save it as JPEG"),
        "phone.jpg": (b"\0\0\0\x1cftypmif1\0\0\0\0mif1heicmiaf", "HEIC"),
        "notes.txt": (b"notes", "not a photo (.txt)"),
        "README": (b"notes", "not a photo (no suffix)"),
    }


def test_decode_names_the_file_and_the_reason(tmp_path):
    for name, (data, reason) in bad_files(tmp_path).items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(UnreadablePhoto) as error:
            decode.decode(tmp_path / name)
        assert name in str(error.value) and reason in str(error.value) and "0x" not in str(error.value)
        with pytest.raises(UnreadablePhoto) as error:
            decode.read(tmp_path / name)
        assert reason in str(error.value) and name not in str(error.value)
    with pytest.raises(UnreadablePhoto, match="No such file"):
        decode.decode(tmp_path / "gone.jpg")
    with pytest.raises(UnreadablePhoto, match="no regular file"):
        decode.decode(tmp_path)


def test_content_decides_not_the_suffix(tmp_path):
    for name in ("jpeg.png", "jpeg", "jpeg.jpg_original", "jpeg.TXT"):
        Image.fromarray(RAMP).save(tmp_path / name, format="JPEG")
        assert decode.read(tmp_path / name).pixels.shape == RAMP.shape
    Image.fromarray(RAMP).save(tmp_path / "tiff.jpg", format="TIFF")
    assert (decode.decode(tmp_path / "tiff.jpg") == RAMP).all()


def test_a_cameras_raw_file_is_not_taken_for_its_preview(tmp_path):
    Image.fromarray(RAMP).save(tmp_path / "a.nef", format="TIFF")
    with pytest.raises(UnreadablePhoto, match=r"raw file \(\.nef\)"):
        decode.decode(tmp_path / "a.nef")


def test_a_photo_knows_its_hash_and_one_that_changed_is_refused(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(RAMP).save(path)
    seen = decode.read(path)
    assert seen.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (decode.read(path, seen.sha256).pixels == RAMP).all()
    Image.fromarray(RAMP[::-1]).save(path)
    with pytest.raises(UnreadablePhoto, match="changed since the scan"):
        decode.read(path, seen.sha256)


# memory: bounded, whatever a file says


@pytest.fixture
def small_limits(monkeypatch):
    """The limits of a thousandth of the pixels."""
    monkeypatch.setattr(decode, "WHOLE", 120_000)
    monkeypatch.setattr(decode, "MAX_PIXELS", 200_000)


def smooth(height, width):
    """uint8 (height, width, 3) that any reduction shows alike."""
    y, x = np.mgrid[0:height, 0:width]
    return np.dstack([255 * y // height, 255 * x // width, np.full_like(x, 90)]).astype(np.uint8)


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_jpeg_too_large_comes_reduced_and_knows_its_own_size(tmp_path, small_limits, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = smooth(301, 600)
    Image.fromarray(picture).save(tmp_path / "a.jpg", quality=95, exif=exif)
    photo = decode.read(tmp_path / "a.jpg")
    upright = picture if orientation == 1 else np.rot90(picture, -1)
    assert (photo.height, photo.width) == upright.shape[:2]
    assert photo.shrunk == 2 and photo.pixels.shape[:2] == tuple(-(-side // 2) for side in upright.shape[:2])
    expected = cv2.resize(upright, photo.pixels.shape[1::-1], interpolation=cv2.INTER_AREA)
    assert np.abs(photo.pixels.astype(int) - expected).max() < 12


def test_one_that_fits_comes_whole(tmp_path, small_limits):
    Image.fromarray(smooth(300, 400)).save(tmp_path / "a.jpg")
    photo = decode.read(tmp_path / "a.jpg")
    assert photo.shrunk == 1 and photo.pixels.shape == (300, 400, 3)


@pytest.mark.parametrize("name", ["a.png", "a.webp", "a.tif", "a.bmp", "a.gif"])
def test_in_other_formats_it_is_refused_with_what_to_do(tmp_path, small_limits, name):
    Image.fromarray(smooth(301, 400)).save(tmp_path / name)
    with pytest.raises(UnreadablePhoto, match=r"too much memory.*save it smaller, or as JPEG"):
        decode.read(tmp_path / name)


def test_more_than_any_camera_takes_is_refused(tmp_path, small_limits):
    Image.fromarray(smooth(500, 401)).save(tmp_path / "a.jpg")
    with pytest.raises(UnreadablePhoto, match="over the limit"):
        decode.read(tmp_path / "a.jpg")


def test_a_progressive_jpeg_needs_memory_for_all_of_it_however_small_it_is_decoded(tmp_path, monkeypatch):
    picture = Image.fromarray(smooth(400, 400))
    picture.save(tmp_path / "plain.jpg")
    picture.save(tmp_path / "progressive.jpg", progressive=True, subsampling=0)
    monkeypatch.setattr(decode, "MEMORY", 6 * 400 * 400)
    assert decode.read(tmp_path / "plain.jpg").shrunk == 2
    with pytest.raises(UnreadablePhoto, match="not progressive"):
        decode.read(tmp_path / "progressive.jpg")


def foretold(path):
    with Image.open(path) as image:
        return formats.memory(image, path.read_bytes()) - path.stat().st_size


def test_what_decoding_takes_is_foretold_from_the_header(tmp_path):
    picture = Image.fromarray(smooth(64, 64))
    a_pixel = {}
    for name, options in {
        "plain.jpg": {},
        "halved.jpg": {"progressive": True, "subsampling": 2},
        "full.jpg": {"progressive": True, "subsampling": 0},
        "a.png": {},
        "raw.tif": {},
        "lzw.tif": {"compression": "tiff_lzw"},
        "a.webp": {},
    }.items():
        picture.save(tmp_path / name, **options)
        a_pixel[name] = foretold(tmp_path / name) / 64**2
    assert a_pixel == {
        "plain.jpg": 7, "halved.jpg": 7 + 3, "full.jpg": 7 + 6, "a.png": 7, "raw.tif": 7, "lzw.tif": 7 + 3, "a.webp": 16
    }  # fmt: skip


def test_scans_of_one_component_each_are_kept_whole_too(tmp_path):
    Image.fromarray(smooth(64, 64)).save(tmp_path / "a.jpg", subsampling=0)
    data = bytearray((tmp_path / "a.jpg").read_bytes())
    scan = data.index(b"\xff\xda")
    data[scan + 4] = 1  # the first scan then holds one of the three
    (tmp_path / "a.jpg").write_bytes(data)
    assert foretold(tmp_path / "a.jpg") == (7 + 6) * 64**2


def test_a_file_too_large_is_refused_unread(tmp_path):
    with (tmp_path / "a.jpg").open("wb") as file:
        file.write(b"\xff\xd8\xff")
        file.truncate(3 << 30)  # sparse: it takes no room on the disk
    with pytest.raises(UnreadablePhoto, match="3,221,225,472 bytes"):
        decode.read(tmp_path / "a.jpg")


def test_metadata_never_refuses_the_pixels(tmp_path):
    texts = PngInfo()
    texts.add_text("history", "x" * (3 << 20), zip=True)
    texts.add_itxt("XML:com.adobe.xmp", "y" * (3 << 20), zip=True)
    exif = Image.Exif()
    exif[0x0112] = 3
    Image.fromarray(RAMP).save(tmp_path / "a.png", pnginfo=texts, exif=exif)
    assert (decode.decode(tmp_path / "a.png") == RAMP[::-1, ::-1]).all()


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "L", "I;16"])
def test_large_pictures_are_made_into_arrays_in_bands(tmp_path, monkeypatch, mode):
    picture = Image.fromarray(smooth(50, 40))
    if mode == "I;16":
        picture = Image.fromarray(smooth(50, 40)[..., 0].astype(np.uint16) * 257)
    elif mode == "RGBA":
        picture.putalpha(Image.fromarray(smooth(50, 40)[..., 1]))
    else:
        picture = picture.convert(mode)
    picture.save(tmp_path / "a.png")
    whole = decode.read(tmp_path / "a.png").pixels
    grey = decode.read_grey(tmp_path / "a.png")
    monkeypatch.setattr(decode, "BAND", 7 * 40)
    assert (decode.read(tmp_path / "a.png").pixels == whole).all()
    for banded, together in zip(decode.read_grey(tmp_path / "a.png"), grey, strict=True):
        assert (banded is together is None) or (banded == together).all()
    assert (grey[1] is not None) == (mode == "RGBA")


SAMPLES = {}


def sample(name):
    """The bytes of a small picture in the format of a suffix."""
    if name not in SAMPLES:
        import io

        file = io.BytesIO()
        Image.fromarray(smooth(40, 30)).save(file, format=Image.registered_extensions()[name])
        SAMPLES[name] = file.getvalue()
    return SAMPLES[name]


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from([".jpg", ".png", ".webp", ".tif", ".gif", ".bmp"]),
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=6),
    st.floats(0, 1),
)
def test_any_damage_is_a_photo_or_a_reason(tmp_path, suffix, changes, share):
    data = bytearray(sample(suffix))
    for place, value in changes:
        data[int(place * (len(data) - 1))] = value
    path = tmp_path / f"a{suffix}"
    path.write_bytes(data[: max(1, int(share * len(data)))] if share < 0.5 else data)
    try:
        photo = decode.read(path)
        assert photo.pixels.dtype == np.uint8 and photo.pixels.shape == (photo.height, photo.width, 3)
    except UnreadablePhoto as error:
        assert str(error) and "\n" not in str(error)


def test_the_next_photo_is_read_while_the_caller_works():
    read = []

    def load(item):
        read.append(item)
        return item * 2

    pairs = []
    for item, loaded in decode.ahead([1, 2, 3], load):
        pairs.append((item, loaded))
        assert len(read) <= item + 1
    assert pairs == [(1, 2), (2, 4), (3, 6)]
    assert list(decode.ahead([], load)) == []


@given(st.integers(1, 300), st.integers(1, 300), st.integers(1, 200))
def test_working_copy(height, width, side):
    image = decode.working(np.full((height, width, 3), 77, np.uint8), side)
    assert max(image.shape) == max(3, min(side, max(height, width)))
    assert (image == 77).all()
    if side >= max(height, width):
        assert image.shape == (height, width, 3)
