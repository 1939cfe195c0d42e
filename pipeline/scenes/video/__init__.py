"""Scenes that move: short videos with sound in which everything that happens, and when, is known."""

from pipeline.scenes.video.dataset import annotate_video, write_videos
from pipeline.scenes.video.draw import boxes_at, draw_frames
from pipeline.scenes.video.language import descriptions, queries, video_captions
from pipeline.scenes.video.script import video
from pipeline.scenes.video.sound import RATE, soundtrack
from pipeline.scenes.video.world import HEARD, KINDS, SEEN, Actor, Event, Pose, Shot, Video

__all__ = [
    "HEARD",
    "KINDS",
    "RATE",
    "SEEN",
    "Actor",
    "Event",
    "Pose",
    "Shot",
    "Video",
    "annotate_video",
    "boxes_at",
    "descriptions",
    "draw_frames",
    "queries",
    "soundtrack",
    "video",
    "video_captions",
    "write_videos",
]
