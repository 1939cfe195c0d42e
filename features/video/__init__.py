"""Videos into frames and sound, by presentation time; what every reader of videos imports.

A time is in seconds from the file's start, as players and ffmpeg count: where a file's clock begins later than zero (a
piece cut from a broadcast), that beginning is subtracted (`VideoInfo.start`). The frame shown at time t is the last one
whose presentation time is at most t, so variable frame rates need no special care. Edit lists are applied by FFmpeg:
what they cut away is not there. `features.video.guard` runs all this in a process that can be killed.
"""

from features.video.container import VideoSource
from features.video.frames import Frame, frame_times, frames_at, keyframes
from features.video.info import VideoInfo, probe, sample_times
from features.video.sound import read_audio

__all__ = [
    "Frame", "VideoInfo", "VideoSource", "frame_times", "frames_at", "keyframes", "probe", "read_audio", "sample_times",
]
