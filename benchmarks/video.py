"""Videos: agreement with ffprobe, a damage campaign, the memory a two-hour film takes, and decoding speed.

    python -m benchmarks.video [VIDEOS]       writes results/video.json; about 15 minutes on two quiet cores
    python -m benchmarks.video --small        a trial of everything in two minutes; writes nothing

VIDEOS is a folder of real ones (default: those of the shared data beside the checkout, if they are there). Agreement
and the comparison of speeds need ffprobe and ffmpeg in the path and are left out without them.

- agreement: the timestamps of every frame, against ffprobe's.
- damage: copies of the videos cut short, with bits flipped, holes, or another file's header. Each is decoded at two
  frames a second by the guarded process that `heed extract frames` uses, and must give frames or a reason in time.
- film: two hours of 25 frames a second, through `heed extract frames --fps 1` in both shard formats. Memory is the sum
  of the peaks of all its processes.
- speed: all frames decoded with one thread and with one a core, against ``ffmpeg -f null``, in turns; medians.
"""

from __future__ import annotations

import json
import os
import platform
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from features.errors import HeedError
from features.video import frame_times, probe
from features.video.container import open_video
from features.video.guard import Guard
from features.video.sampling import Sampling

ROOT = Path(__file__).parents[1]
RESULT = ROOT / "benchmarks" / "results" / "video.json"
REAL = ROOT.parent / "shared" / "data" / "videos"
KINDS = ("cut", "flip", "many flips", "hole", "header")
CASES, FILM_SECONDS, ROUNDS = 100, 7200, 5
SECONDS_A_CASE = 10.0


def moving(path: Path, seconds: int, size: tuple[int, int] = (320, 180), options: dict[str, str] | None = None) -> Path:
    """Write a video of a moving pattern with noise, 25 frames a second; a long one repeats its first minute."""
    import av

    width, height = size
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:height, :width]
    pattern = np.stack([x * 255 // width, y * 255 // height, (x + y) % 256], 2).astype(np.uint8)
    grain = rng.integers(0, 12, (8, height, width, 1), np.uint8)
    packets = []
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=25, options={"preset": "ultrafast", "bf": "2", **(options or {})})
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = width, height, "yuv420p", 50
        stream.time_base = stream.codec_context.time_base = Fraction(1, 12800)
        count = min(seconds, 60) * 25
        for number in range(count):
            picture = np.roll(pattern, 3 * number, 1) // 2 + 60 + grain[number % 8]
            frame = av.VideoFrame.from_ndarray(picture.astype(np.uint8), format="rgb24")
            frame.pts, frame.time_base = number * 512, Fraction(1, 12800)
            packets += stream.encode(frame)
        packets += stream.encode(None)
        for again in range(max(1, seconds // 60)):
            for packet in packets:
                copy = av.Packet(bytes(packet))
                copy.pts, copy.dts, copy.time_base = packet.pts, packet.dts, packet.time_base
                copy.pts += again * count * 512
                copy.dts += again * count * 512
                copy.is_keyframe, copy.stream = packet.is_keyframe, stream
                out.mux(copy)
    return path


def agreement(videos: Sequence[Path]) -> dict[str, Any]:
    """Frames of each video, and whether their timestamps are ffprobe's."""
    found = {}
    for path in videos:
        with open_video(path) as video:
            index, base = video.stream.index, video.stream.time_base
        command = ["ffprobe", "-v", "error", "-select_streams", str(index), "-show_entries", "frame=pts", "-of", "json"]
        said = subprocess.run([*command, path], capture_output=True, check=True).stdout
        expected = [float(frame["pts"] * base) for frame in json.loads(said)["frames"]]
        times = (frame_times(path) + probe(path).start).tolist()
        found[path.name] = {"frames": len(times), "equal": times == expected}
    return found


def damaged(data: bytes, others: Sequence[bytes], case: int) -> tuple[str, bytes]:
    """What is done to a file in a case, and the file."""
    rng, kind = random.Random(case), KINDS[case % len(KINDS)]
    changed = bytearray(data)
    if kind == "cut":
        return kind, data[: rng.randrange(len(data))]
    if kind == "hole":
        place, size = rng.randrange(len(data)), rng.randrange(1, 50_000)
        return kind, (data[:place] + bytes(size) + data[place + size:])[: len(data)]
    if kind == "header":
        size = rng.choice((16, 64, 1024, 8192))
        return kind, others[rng.randrange(len(others))][:size] + data[size:]
    for _ in range(100 if kind == "many flips" else 1):
        changed[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return kind, bytes(changed)


def campaign(folder: Path, videos: Sequence[Path], cases: int, partial: bool = False) -> dict[str, Any]:
    """Damage ``videos`` in ``cases`` ways; what became of each."""
    whole = [path.read_bytes() for path in videos]
    outcomes: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    crashes, slowest = [], 0.0
    with Guard(stall=SECONDS_A_CASE - 1) as guard:
        for case in range(cases):
            number = case // len(KINDS) % len(whole)
            kind, data = damaged(whole[number], whole, case)
            path = folder / f"damaged{videos[number].suffix}"
            path.write_bytes(data)
            began = time.monotonic()
            try:
                frames = list(guard.look(path, Sampling(fps=2, size=64, partial=partial), "jpg").frames)
                outcomes[f"{kind}: {'frames' if frames else 'nothing'}"] += 1
            except HeedError as error:
                outcomes[f"{kind}: failed by name"] += 1
                reasons["".join("#" if letter.isdigit() else letter for letter in str(error))] += 1
                if "crashed" in str(error) or "ended with status" in str(error):
                    crashes.append(f"case {case}: {kind} of {videos[number].name}: {error}")
            slowest = max(slowest, time.monotonic() - began)
    return {"cases": cases, "slowest_seconds": round(slowest, 2), "crashes": crashes,
            "outcomes": dict(sorted(outcomes.items())), "reasons": dict(reasons.most_common())}


def film(folder: Path, seconds: int) -> dict[str, Any]:
    """Extract a film at one frame a second; memory, time and size for each shard format."""
    (folder / "film").mkdir()
    path = moving(folder / "film" / "film.mp4", seconds)
    result: dict[str, Any] = {"seconds": seconds, "frames": seconds * 25, "pixels": [320, 180],
                              "bytes": path.stat().st_size}
    for format in ("webdataset", "arrow"):
        store = folder / format
        began = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, "-m", "heed", "extract", "frames", str(path.parent), str(store), "--fps", "1", "--size",
             "224", "--format", format, "--inline"], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        peaks: dict[int, int] = {}
        while process.poll() is None:
            for child in family(process.pid):
                peaks[child] = max(peaks.get(child, 0), peak(child))
            time.sleep(0.1)
        took = time.monotonic() - began
        from pipeline.frames import count_frames
        from pipeline.store import Store

        result[format] = {
            "peak_megabytes": round(sum(peaks.values()) / 1e6), "processes": len(peaks), "seconds": round(took, 1),
            "decoded_frames_a_second": round(seconds * 25 / took), "stored": count_frames(Store.open(store)),
            "bytes": sum(file.stat().st_size for file in (store / "shards").iterdir())}
    return result


def family(pid: int) -> Iterator[int]:
    """A process and those below it."""
    yield pid
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return
    for child in children:
        yield from family(int(child))


def peak(pid: int) -> int:
    """The most bytes a process has had in memory so far, pages of mapped files included."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")), 0)


def speed(videos: Sequence[Path], rounds: int) -> dict[str, Any]:
    """Frames decoded a second, heed's and ffmpeg's."""
    found: dict[str, Any] = {}
    for path in videos:
        with open_video(path) as video:
            chosen = f"0:{video.stream.index}"
        count = len(frame_times(path))
        taken: dict[str, list[float]] = {}
        for _ in range(rounds):
            for threads in (1, 0):
                name = "one thread" if threads else "all cores"
                began = time.monotonic()
                frame_times(path, threads=threads)
                taken.setdefault(f"heed, {name}", []).append(time.monotonic() - began)
                if shutil.which("ffmpeg"):
                    began = time.monotonic()
                    subprocess.run(["ffmpeg", "-v", "error", "-threads", str(threads), "-i", path, "-map", chosen,
                                    "-f", "null", "-"], check=True)
                    taken.setdefault(f"ffmpeg -f null, {name}", []).append(time.monotonic() - began)
        found[path.name] = {"frames": count, **{name: round(count / statistics.median(seconds))
                                                for name, seconds in taken.items()}}
    return found


def main(words: Sequence[str]) -> int:
    """Run everything; 1 where something is not as it should be."""
    import av

    small = "--small" in words
    named = [Path(word) for word in words if not word.startswith("-")]
    folder = named[0] if named else REAL
    result: dict[str, Any] = {
        "cpus": os.cpu_count(), "python": platform.python_version(), "av": av.__version__,
        "libavcodec": ".".join(map(str, av.library_versions["libavcodec"]))}
    if shutil.which("ffmpeg"):
        said = subprocess.run(["ffmpeg", "-version"], capture_output=True, check=True, text=True).stdout
        result["ffmpeg"] = said.split()[2]
    with tempfile.TemporaryDirectory() as name:
        made = moving(Path(name) / "moving.mp4", 10)
        videos = sorted(folder.glob("*.mp4")) if folder.is_dir() else [made]
        if shutil.which("ffprobe"):
            result["agreement"] = agreement([*videos, made])
        result["damage"] = campaign(Path(name), videos, CASES // 5 if small else CASES)
        result["film"] = film(Path(name), 300 if small else FILM_SECONDS)
        film_path = Path(name) / "film" / "film.mp4"
        result["speed"] = speed([*videos[: 2 if small else None], film_path], 1 if small else ROUNDS)
    print(json.dumps(result, indent=1))
    if not small:
        RESULT.write_text(json.dumps(result, indent=1) + "\n")
    right = (all(video["equal"] for video in result.get("agreement", {}).values()) and not result["damage"]["crashes"]
             and result["damage"]["slowest_seconds"] < SECONDS_A_CASE
             and all(result["film"][format]["peak_megabytes"] < 1000 for format in ("webdataset", "arrow")))
    return int(not right)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
