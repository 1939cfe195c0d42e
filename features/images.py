"""Bytes of an image file to upright RGB pixels, or one sentence saying why not."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, UnidentifiedImageError

from features.errors import HeedError

MAX_PIXELS = 100_000_000
"""Largest width x height that is decoded unless asked otherwise: 300 MB as RGB."""

FORMATS = ("JPEG", "PNG", "GIF", "BMP", "DIB", "TIFF", "WEBP", "AVIF", "JPEG2000", "PPM", "ICO")
"""The only formats tried. Pillow knows more, one of which (EPS) starts another program to decode a file."""

_ORIENTATION = 0x0112
# EXIF orientation -> the operation that makes the image upright (EXIF 2.3, table 6).
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def decode_image(data: bytes, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Decode an image file's bytes to (height, width, 3) uint8 RGB, turned upright as its EXIF orientation says.

    16-bit grey is scaled to 8 bits, transparency is laid over white (what a viewer shows), of an animation the
    first frame is taken. Colour profiles are not applied, as the field's extractors do not.

    Raises `HeedError` with the reason alone (the caller knows the file's name): no bytes, not an image, more than
    ``max_pixels`` according to its header (nothing is decoded then), damaged or truncated, or pixels without an
    agreed range. Raising ``max_pixels`` past Pillow's own limit of 179 million raises that limit too.
    """
    if not data:
        raise HeedError("the file is empty (0 bytes)")
    # Pillow refuses at twice this number.
    if Image.MAX_IMAGE_PIXELS is not None and max_pixels > 2 * Image.MAX_IMAGE_PIXELS:
        Image.MAX_IMAGE_PIXELS = max_pixels // 2 + 1
    try:
        image: Image.Image = Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError:
        raise HeedError(f"the file is not an image in a format heed reads (it begins with {data[:12]!r})") from None
    except Image.DecompressionBombError as error:
        raise HeedError(f"the image is larger than the limit of {max_pixels:,} pixels ({error})") from None
    except MemoryError:
        raise
    except Exception as error:  # decoders raise whatever a damaged header trips over
        raise HeedError(f"the image's header is damaged ({_reason(error)})") from None
    width, height = image.size
    if width * height > max_pixels:
        raise HeedError(f"the image is {width} x {height} pixels, more than the limit of {max_pixels:,}")
    try:
        image.load()
        image = _turned(image)
        return _as_rgb(image)
    except (HeedError, MemoryError):
        raise
    except Exception as error:
        raise HeedError(f"the image is damaged or truncated ({_reason(error)})") from None


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _turned(image: Image.Image) -> Image.Image:
    """The image upright. Read after the pixels, as a PNG may carry its EXIF behind them."""
    try:
        orientation = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # a damaged EXIF block says nothing about the pixels
        return image
    operation = _UPRIGHT.get(orientation)
    return image if operation is None else image.transpose(operation)


def _as_rgb(image: Image.Image) -> np.ndarray:
    """RGB uint8 pixels of a loaded image of any mode."""
    if image.mode.startswith("I") or image.mode == "F":
        grey = _eight_bits(np.asarray(image))
        return np.repeat(grey[:, :, None], 3, axis=2)
    if image.has_transparency_data:
        seen = image.convert("RGBA")
        paper = Image.new("RGBA", seen.size, (255, 255, 255, 255))
        image = Image.alpha_composite(paper, seen)
    return np.array(image.convert("RGB"))


def _eight_bits(values: np.ndarray) -> np.ndarray:
    """16-bit grey levels as 8-bit ones: 65535 becomes 255. Pillow's own conversion clips at 255 instead."""
    if values.dtype.kind == "f" or values.min(initial=0) < 0 or values.max(initial=0) > 65535:
        raise HeedError("the image has 32-bit pixels, for which there is no agreed range; save it with 8 or 16 bits")
    return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)
