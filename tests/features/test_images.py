import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from features.errors import HeedError
from features.images import decode_image

RNG = np.random.default_rng(0)
PICTURE = RNG.integers(0, 256, (6, 9, 3), dtype=np.uint8)


def saved(image, kind="PNG", **options):
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def png(width, height, bits, colour, rows):
    """A PNG written by hand, so that depths Pillow cannot write are read."""
    def chunk(name, body):
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


@pytest.mark.parametrize(("orientation", "turn"), [
    (1, lambda a: a), (2, np.fliplr), (3, lambda a: np.rot90(a, 2)), (4, np.flipud),
    (5, lambda a: a.transpose(1, 0, 2)), (6, lambda a: np.rot90(a, -1)),
    (7, lambda a: np.rot90(a, 2).transpose(1, 0, 2)), (8, lambda a: np.rot90(a, 1)),
])
def test_exif_orientation_is_applied(orientation, turn):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = saved(Image.fromarray(PICTURE), exif=exif.tobytes())
    np.testing.assert_array_equal(decode_image(data), turn(PICTURE))


def test_a_damaged_exif_block_does_not_cost_the_image():
    data = saved(Image.fromarray(PICTURE), exif=b"Exif\x00\x00MM\x00\x2a\xff\xff\xff\xff")
    np.testing.assert_array_equal(decode_image(data), PICTURE)


def test_sixteen_bits_are_scaled_not_clipped():
    levels = [0, 257, 32768, 65535]
    row = b"\x00" + struct.pack(">4H", *levels)
    np.testing.assert_array_equal(decode_image(png(4, 1, 16, 0, row))[0, :, 0], [0, 1, 128, 255])
    rgb = b"\x00" + struct.pack(">6H", 0, 257, 65535, 257 * 7, 257 * 128, 257 * 200)
    np.testing.assert_array_equal(decode_image(png(2, 1, 16, 2, rgb)), [[[0, 1, 255], [7, 128, 200]]])


def test_transparency_is_laid_over_white():
    rgba = np.zeros((1, 3, 4), np.uint8)
    rgba[0, :, 3] = [0, 255, 51]  # black, of opacity 0, 1 and 0.2
    np.testing.assert_array_equal(decode_image(saved(Image.fromarray(rgba)))[0, :, 0], [255, 0, 204])
    grey = Image.fromarray(rgba[:, :, [0, 3]], "LA")
    np.testing.assert_array_equal(decode_image(saved(grey))[0, :, 0], [255, 0, 204])


def test_palette_cmyk_and_one_bit():
    palette = Image.new("P", (2, 1))
    palette.putpalette([10, 20, 30, 200, 100, 50])
    palette.putpixel((1, 0), 1)
    np.testing.assert_array_equal(decode_image(saved(palette)), [[[10, 20, 30], [200, 100, 50]]])
    ink = Image.new("CMYK", (16, 16), (0, 255, 255, 0))  # magenta and yellow: red
    assert np.abs(decode_image(saved(ink, "JPEG", quality=95)).astype(int) - [255, 0, 0]).max() <= 3
    np.testing.assert_array_equal(decode_image(saved(Image.new("1", (1, 1), 1))), [[[255, 255, 255]]])


def test_of_an_animation_the_first_frame():
    frames = [Image.new("RGB", (4, 3), colour) for colour in ("red", "blue")]
    data = saved(frames[0], "GIF", save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(decode_image(data), np.broadcast_to([255, 0, 0], (3, 4, 3)))


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_truncated_file_says_so(kind):
    noise = Image.fromarray(RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8))
    data = saved(noise, kind)
    with pytest.raises(HeedError, match="damaged or truncated"):
        decode_image(data[:len(data) // 2])


def test_no_bytes_text_and_a_lone_header():
    with pytest.raises(HeedError, match="empty"):
        decode_image(b"")
    with pytest.raises(HeedError, match="not an image"):
        decode_image(b"<html>404 not found</html>")
    with pytest.raises(HeedError, match="not an image"):
        decode_image(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    with pytest.raises(HeedError):
        decode_image(saved(Image.fromarray(PICTURE))[:20])


def test_the_limit_is_checked_on_the_header_before_decoding():
    bomb = png(60_000, 60_000, 8, 0, b"")  # there are no pixels to decode at all
    with pytest.raises(HeedError, match="limit"):
        decode_image(bomb)
    with pytest.raises(HeedError, match="limit of 10"):
        decode_image(saved(Image.fromarray(PICTURE)), max_pixels=10)


def test_pixels_without_a_range_are_refused():
    with pytest.raises(HeedError, match="32-bit"):
        decode_image(saved(Image.fromarray(np.ones((2, 2), np.float32)), "TIFF"))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "TIFF", "WEBP", "BMP"])
@pytest.mark.filterwarnings("ignore")
def test_damage_of_any_kind_gives_pixels_or_a_sentence(kind):
    """Bytes overwritten or cut off anywhere: never another exception than `HeedError`."""
    rng = np.random.default_rng(3)
    whole = saved(Image.fromarray(rng.integers(0, 256, (24, 24, 3), dtype=np.uint8)), kind)
    for _ in range(120):
        data = bytearray(whole)
        for place in rng.integers(0, min(len(data), 200), 3):
            data[place] = rng.integers(256)
        data = data[:len(data) - int(rng.integers(0, 2) * rng.integers(0, len(data)))]
        try:
            pixels = decode_image(bytes(data), max_pixels=10_000)
        except HeedError:
            continue
        assert pixels.dtype == np.uint8
        assert pixels.shape[2] == 3
