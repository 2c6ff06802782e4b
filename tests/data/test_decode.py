"""One file to RGB: orientation, bit depths, transparency and fit, by values worked out here."""

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tune_nas.config import DataConfig
from tune_nas.data.decode import read_image
from tune_nas.errors import DataError


def _read(file: Path, **data: Any) -> np.ndarray:
    """Return the pixels of a file, (height, width, 3)."""
    image = read_image(file, DataConfig(name="folder", **data))
    return image.permute(1, 2, 0).numpy()


def _pixels(height: int = 4, width: int = 6) -> np.ndarray:
    generator = np.random.default_rng(5)
    return generator.integers(0, 256, (height, width, 3), dtype=np.uint8)


# What a viewer does to the stored pixels, from the EXIF standard's table: where row 0 and column 0
# of the stored image are in the upright one.
UPRIGHT = {
    1: lambda a: a,  # top, left
    2: lambda a: a[:, ::-1],  # top, right
    3: lambda a: a[::-1, ::-1],  # bottom, right
    4: lambda a: a[::-1],  # bottom, left
    5: lambda a: a.transpose(1, 0, 2),  # left, top
    6: lambda a: a.transpose(1, 0, 2)[:, ::-1],  # right, top
    7: lambda a: a.transpose(1, 0, 2)[::-1, ::-1],  # right, bottom
    8: lambda a: a.transpose(1, 0, 2)[::-1],  # left, bottom
}


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("kind", ["png", "tif", "webp", "jpg"])
def test_images_are_turned_upright(kind: str, orientation: int, tmp_path: Path) -> None:
    stored, file = np.kron(_pixels(2, 3), np.ones((16, 16, 1), dtype=np.uint8)), None
    exif = Image.Exif()
    exif[274] = orientation
    options: dict[str, Any] = {
        "webp": {"lossless": True},
        "jpg": {"quality": 100, "subsampling": 0},
    }.get(kind, {})
    file = tmp_path / f"image.{kind}"
    Image.fromarray(stored).save(file, exif=exif, **options)
    result, expected = _read(file), UPRIGHT[orientation](stored)
    assert result.shape == expected.shape
    assert np.abs(result.astype(int) - expected).max() <= (3 if kind == "jpg" else 0)


GRAY16 = np.array([[0, 128, 129, 256], [257, 4369, 32768, 65535]], dtype=np.uint16)
# value · 255 / 65535 = value / 257, rounded.
AS_8_BITS = np.array([[0, 0, 1, 1], [1, 17, 128, 255]])


def _chunk(kind: bytes, content: bytes) -> bytes:
    crc = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + crc


def _png16(transparent: int | None = None) -> bytes:
    height, width = GRAY16.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in GRAY16)
    clear = b"" if transparent is None else _chunk(b"tRNS", struct.pack(">H", transparent))
    header = struct.pack(">IIBBBBB", width, height, 16, 0, 0, 0, 0)
    parts = _chunk(b"IHDR", header), clear, _chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts) + _chunk(b"IEND", b"")


def _tiff(values: bytes, height: int, width: int, bits: int, photometric: int, order: str) -> bytes:
    """Return a TIFF of one strip, written by hand: Pillow writes no 12 bits, no other order."""
    tags = [
        (256, width),
        (257, height),
        (258, bits),
        (259, 1),
        (262, photometric),
        (273, 8),
        (277, 1),
        (278, height),
        (279, len(values)),
    ]
    entries = b"".join(
        struct.pack(f"{order}HHI", tag, 4, 1) + struct.pack(f"{order}I", value)
        for tag, value in tags
    )
    mark = b"II" if order == "<" else b"MM"
    start = struct.pack(f"{order}HI", 42, 8 + len(values))
    return mark + start + values + struct.pack(f"{order}H", len(tags)) + entries + b"\0" * 4


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.png", _png16()),
        ("a.pgm", b"P5\n4 2\n65535\n" + GRAY16.astype(">u2").tobytes()),
        ("a.tif", _tiff(GRAY16.astype("<u2").tobytes(), 2, 4, 16, 1, "<")),
        ("a.tif", _tiff(GRAY16.astype(">u2").tobytes(), 2, 4, 16, 1, ">")),
    ],
    ids=["png", "pgm", "tiff-little-endian", "tiff-big-endian"],
)
def test_16_bits_are_scaled_by_their_full_range(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    result = _read(tmp_path / name)
    assert result.shape == (2, 4, 3)
    for channel in range(3):
        assert (result[:, :, channel] == AS_8_BITS).all()


def test_other_ranges_of_gray_are_those_that_the_file_states(tmp_path: Path) -> None:
    # 12 bits: 0, 4095, 2048, 16 of 4095, packed; 16 · 255 / 4095 = 0.996
    packed = bytes([0x00, 0x0F, 0xFF, 0x80, 0x00, 0x10])
    (tmp_path / "a.tif").write_bytes(_tiff(packed, 1, 4, 12, 1, "<"))
    assert _read(tmp_path / "a.tif")[0, :, 0].tolist() == [0, 255, 128, 1]
    # white is zero: the values are turned around
    (tmp_path / "b.tif").write_bytes(_tiff(GRAY16.astype("<u2").tobytes(), 2, 4, 16, 0, "<"))
    assert (_read(tmp_path / "b.tif")[:, :, 0] == (255 - AS_8_BITS)).all()
    # PGM of up to 1000: 500 is half of the range
    ten_bits = np.array([0, 500, 1000], dtype=">u2").tobytes()
    (tmp_path / "c.pgm").write_bytes(b"P5\n3 1\n1000\n" + ten_bits)
    assert _read(tmp_path / "c.pgm")[0, :, 0].tolist() == [0, 128, 255]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (np.array([[0.0, 1.0]], dtype=np.float32), "floating-point"),
        (np.array([[0, 70000]], dtype=np.int32), "32-bit or signed"),
    ],
)
def test_gray_of_no_stated_range_is_refused(values: np.ndarray, words: str, tmp_path: Path) -> None:
    Image.fromarray(values).save(tmp_path / "a.tif")
    with pytest.raises(DataError, match=rf"a\.tif' has {words} gray values.*8 or 16 bits$"):
        _read(tmp_path / "a.tif")


# alpha · color + (255 - alpha) · background, over 255.
@pytest.mark.parametrize(("background", "behind"), [("white", 255), ("black", 0), ("#3c3c3c", 60)])
def test_transparency_shows_the_background(background: str, behind: int, tmp_path: Path) -> None:
    alphas, color = np.array([0, 51, 128, 255]), np.array([200, 100, 0])
    pixels = np.zeros((1, 4, 4), dtype=np.uint8)
    pixels[..., :3], pixels[..., 3] = color, alphas
    Image.fromarray(pixels, "RGBA").save(tmp_path / "a.png")
    share = alphas[:, None] / 255
    expected = share * color + (1 - share) * behind
    result = _read(tmp_path / "a.png", background=background)
    assert np.abs(result[0] - expected).max() <= 1
    assert (result[0, [0, 3]] == expected[[0, 3]]).all()
    gray = np.stack([np.full(4, 90), alphas], axis=-1).astype(np.uint8)[None]
    Image.fromarray(gray, "LA").save(tmp_path / "b.png")
    expected = share * 90 + (1 - share) * behind
    assert np.abs(_read(tmp_path / "b.png", background=background)[0] - expected).max() <= 1


def test_one_value_or_palette_entry_can_be_transparent(tmp_path: Path) -> None:
    values = np.array([[10, 20, 30]], dtype=np.uint8)
    Image.fromarray(values).save(tmp_path / "a.png", transparency=20)
    assert _read(tmp_path / "a.png")[0, :, 0].tolist() == [10, 255, 30]
    palette = Image.fromarray(np.array([[0, 1, 2]], dtype=np.uint8), "P")
    palette.putpalette([5, 6, 7, 50, 60, 70, 90, 91, 92])
    palette.save(tmp_path / "b.png", transparency=1)
    assert _read(tmp_path / "b.png")[0].tolist() == [[5, 6, 7], [255] * 3, [90, 91, 92]]
    (tmp_path / "c.png").write_bytes(_png16(transparent=4369))
    expected = np.where(GRAY16 == 4369, 255, AS_8_BITS)
    assert (_read(tmp_path / "c.png")[:, :, 1] == expected).all()


def test_opaque_images_are_as_they_are(tmp_path: Path) -> None:
    pixels = _pixels()
    for name in ("a.png", "a.bmp", "a.ppm", "a.tif"):
        Image.fromarray(pixels).save(tmp_path / name)
        assert (_read(tmp_path / name) == pixels).all()
    opaque = np.concatenate([pixels, np.full((4, 6, 1), 255, dtype=np.uint8)], axis=2)
    Image.fromarray(opaque, "RGBA").save(tmp_path / "b.png")
    assert (_read(tmp_path / "b.png", background="black") == pixels).all()
    bits = Image.fromarray(pixels[:, :, 0] > 100)
    bits.save(tmp_path / "c.png")
    assert (_read(tmp_path / "c.png")[:, :, 2] == np.where(pixels[:, :, 0] > 100, 255, 0)).all()


def test_phone_pictures_of_two_frames_are_read(tmp_path: Path) -> None:
    first, second = (Image.new("RGB", (16, 16), color) for color in ("red", "blue"))
    first.save(tmp_path / "a.jpg", "MPO", save_all=True, append_images=[second])
    assert np.abs(_read(tmp_path / "a.jpg").astype(int) - [254, 0, 0]).max() <= 1


def test_how_images_that_are_not_square_are_fitted(tmp_path: Path) -> None:
    pixels = np.zeros((8, 24, 3), dtype=np.uint8)
    pixels[:, 8:16], pixels[:, 16:] = 100, 200
    Image.fromarray(pixels).save(tmp_path / "a.png")
    cut = _read(tmp_path / "a.png", resolution=8)
    assert (cut == 100).all()
    stretched = _read(tmp_path / "a.png", resolution=12, fit="stretch")[6, :, 0]
    assert stretched[[0, 1, 5, 6, 10, 11]].tolist() == [0, 0, 100, 100, 200, 200]
    padded = _read(tmp_path / "a.png", resolution=24, fit="pad", background="#010203")
    assert (padded[8:16] == pixels).all()
    assert (padded[:8] == [1, 2, 3]).all() and (padded[16:] == [1, 2, 3]).all()


def test_a_format_that_starts_a_program_is_not_opened(tmp_path: Path) -> None:
    lines = "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n%%EOF\n"
    (tmp_path / "a.png").write_text(lines)
    with Image.open(tmp_path / "a.png") as known:
        assert known.format == "EPS"  # Pillow alone would run Ghostscript on it
    with pytest.raises(DataError, match=r"a\.png' is not a readable image"):
        _read(tmp_path / "a.png")
