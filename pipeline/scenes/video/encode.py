"""An mp4 from frames and sound: H.264 and AAC, the same bytes each time in one version of PyAV."""

from __future__ import annotations

import io
from collections.abc import Iterable

import numpy as np

from features.errors import HeedError

VIDEO_OPTIONS = {"preset": "veryfast", "crf": "20", "threads": "1", "bf": "0", "x264-params": "mbtree=0"}
"""x264's: quick, of good quality, in one thread (so that the bytes never depend on the machine's cores), without
B-frames, so that frames are stored in the order they are shown in, and without macroblock trees, which make the bytes
differ from run to run: one file in fifteen of 112 pixels, one in four of 32."""
SOUND_OPTIONS = {"b": "32000", "aac_coder": "fast"}
"""FFmpeg's AAC encoder's: at this rate the events' sounds come back with an error of 5 % of their strength."""


def encode(frames: Iterable[np.ndarray], fps: int, sound: np.ndarray, rate: int) -> bytes:
    """Encode frames, (height, width, 3) uint8 RGB with even sides, and sound, (samples,) int16 mono.

    Frame k is shown at time k / fps; there is a key frame every 2 seconds. Raises `HeedError` where PyAV, or its H.264,
    is not installed.
    """
    try:
        import av
    except ImportError:
        raise HeedError("Writing videos needs PyAV: pip install 'heed[video]'.") from None
    if "libx264" not in av.codecs_available:
        raise HeedError("This PyAV cannot write H.264 (it was built without libx264): install its wheel instead.")
    file = io.BytesIO()
    with av.open(file, "w", format="mp4", options={"fflags": "+bitexact"}) as container:
        picture = container.add_stream("libx264", rate=fps, options=VIDEO_OPTIONS)
        picture.pix_fmt = "yuv420p"
        picture.gop_size = 2 * fps
        picture.codec_context.flags |= av.codec.context.Flags.bitexact
        voice = container.add_stream("aac", rate=rate, layout="mono", options=SOUND_OPTIONS)
        voice.codec_context.flags |= av.codec.context.Flags.bitexact
        heard, per_frame = 0, rate / fps

        def hear(until: int) -> None:
            nonlocal heard
            piece = np.ascontiguousarray(sound[heard:until])[None]
            if piece.size:
                chunk = av.AudioFrame.from_ndarray(piece, format="s16", layout="mono")
                chunk.sample_rate, chunk.pts = rate, heard
                container.mux(voice.encode(chunk))
                heard = until

        for number, pixels in enumerate(frames):
            if number == 0:
                picture.height, picture.width = pixels.shape[:2]
            frame = av.VideoFrame.from_ndarray(to_yuv420(pixels), format="yuv420p")
            frame.pts = number
            container.mux(picture.encode(frame))
            hear(round((number + 1) * per_frame))
        hear(len(sound))
        container.mux(picture.encode(None))
        container.mux(voice.encode(None))
    return file.getvalue()


def to_yuv420(pixels: np.ndarray) -> np.ndarray:
    """RGB as the planes of YUV 4:2:0 below each other, (1.5 height, width) uint8: ITU-R BT.601, 16..235, in integers.

    FFmpeg's own conversion is not used: its result depends on how the picture happens to lie in memory.
    """
    height, width = pixels.shape[:2]
    red, green, blue = (pixels[:, :, i].astype(np.int32) for i in range(3))
    out = np.empty((height * 3 // 2, width), np.uint8)
    out[:height] = ((66 * red + 129 * green + 25 * blue + 128) >> 8) + 16
    red, green, blue = (
        (c[::2, ::2] + c[1::2, ::2] + c[::2, 1::2] + c[1::2, 1::2] + 2) >> 2 for c in (red, green, blue)
    )
    chroma = out[height:].reshape(2, height // 2, width // 2)
    chroma[0] = ((-38 * red - 74 * green + 112 * blue + 128) >> 8) + 128
    chroma[1] = ((112 * red - 94 * green - 18 * blue + 128) >> 8) + 128
    return out
