"""Kill an extraction at random times, run it again until it ends, and compare its bytes with an undisturbed run's.

    python -m benchmarks.kills [KILLS] [IMAGES]      default 10 kills over 400 scenes; writes results/kills.json

The extraction is the real one: `heed extract regions` on Ray with the scenes detector. The driver gets SIGKILL, so
nothing is cleaned up; the next run starts at once, while workers of the killed one may still be alive. The number of
actors changes from run to run. Last, uninterrupted runs with 1 and with 4 actors are compared too.
"""

from __future__ import annotations

import hashlib
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RESULT = Path(__file__).parent / "results" / "kills.json"
SHARD_ROWS = 10


def extract(scenes: Path, store: Path, actors: int) -> subprocess.Popen:
    command = [sys.executable, "-m", "heed", "extract", "regions", str(scenes / "images"), str(store), "--detector",
               "scenes", "--boxes", "8", "24", "--shard-rows", str(SHARD_ROWS), "--actors", str(actors)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)


def digest(store: Path) -> str:
    total = hashlib.sha256()
    for path in sorted((store / "shards").iterdir()):
        total.update(path.name.encode() + path.read_bytes())
    return total.hexdigest()


def committed(store: Path) -> int:
    return len(list((store / "shards").glob("*.json")))


def main(kills: int, images: int) -> None:
    rng = random.Random(0)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        scenes = [sys.executable, "-m", "heed", "scenes", str(root / "scenes"), "--images", str(images)]
        subprocess.run(scenes, check=True)
        digests = {}
        for actors in (1, 4):
            assert extract(root / "scenes", root / f"whole{actors}", actors).wait() == 0
            digests[actors] = digest(root / f"whole{actors}")
        store, struck, shards_at_kill = root / "killed", 0, []
        while struck < kills:
            job = extract(root / "scenes", store, rng.choice([1, 2, 3, 4]))
            # Strike some shards further on, in the middle of what is in flight; some strikes come before the first.
            wanted = committed(store) + rng.randrange(6)
            while job.poll() is None and committed(store) < wanted:
                time.sleep(0.01)
            time.sleep(rng.uniform(0, 0.5))
            if job.poll() is not None:  # it ended first: begin a new store, so that every kill strikes a running job
                assert digest(store) == digests[1]
                store = root / f"killed{struck}"
                continue
            job.send_signal(signal.SIGKILL)
            job.wait()
            struck += 1
            shards_at_kill.append(committed(store))
            print(f"kill {struck} with {shards_at_kill[-1]} shards committed", flush=True)
        assert extract(root / "scenes", store, 2).wait() == 0
        result = {
            "kills": kills, "images": images, "shards": committed(store),
            "shards_committed_at_each_kill": shards_at_kill,
            "identical_after_kills": digest(store) == digests[1], "identical_1_and_4_actors": digests[1] == digests[4],
        }
    RESULT.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))
    sys.exit(not (result["identical_after_kills"] and result["identical_1_and_4_actors"]))


if __name__ == "__main__":
    main(*(int(word) for word in (sys.argv[1:] + ["10", "400"][len(sys.argv) - 1:])))
