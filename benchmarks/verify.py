"""How fast `heed store verify` goes, against SHA-256 alone, which it cannot be faster than.

    python -m benchmarks.verify [ROWS]        default 4,000; writes results/verify.json

A store of 36 x 2048 float16 regions, page cache warm. Rounds of the whole check and of checksums alone, by as many
threads, are interleaved, as the machine's speed drifts; the median round is the figure.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks import streaming
from pipeline.job import run_job
from pipeline.sources import Item, Source
from pipeline.store import file_digest
from pipeline.verify import THREADS, verify

RESULT = Path(__file__).parent / "results" / "verify.json"
ROUNDS, SHARD_ROWS = 5, 250


def main(rows: int = 4000) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "store"
        source = Source("random", [Item(str(i), str(i), 1) for i in range(rows)], 0)
        run_job(streaming.Random(), source, store, shard_rows=SHARD_ROWS, inline=True)
        shards = sorted((store / "shards").glob("*.arrow"))
        megabytes = sum(path.stat().st_size for path in shards) / 1e6
        seconds: dict[str, list[float]] = {"verify": [], "sha256": [], "quick": []}
        with ThreadPoolExecutor(THREADS) as pool:
            for round_ in range(ROUNDS + 1):
                for name, took in seconds.items():
                    began = time.perf_counter()
                    if name == "sha256":
                        list(pool.map(file_digest, shards))
                    else:
                        assert not any(problems for _, problems in verify(store, quick=name == "quick"))
                    if round_:  # the first round warms the page cache
                        took.append(time.perf_counter() - began)
    rates = {name: round(megabytes / statistics.median(took)) for name, took in seconds.items()}
    result = {
        "rows": rows, "megabytes": round(megabytes), "threads": THREADS, "rounds": ROUNDS,
        "verify_megabytes_a_second": rates["verify"], "sha256_alone_megabytes_a_second": rates["sha256"],
        "quick_seconds": round(statistics.median(seconds["quick"]), 4),
        "verify_share_of_sha256": round(rates["verify"] / rates["sha256"], 2),
        "all_seconds": {name: [round(took, 3) for took in each] for name, each in seconds.items()},
    }
    RESULT.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main(*(int(word) for word in sys.argv[1:]))
