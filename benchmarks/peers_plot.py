"""The picture of `benchmarks.peers`, out of its CSV."""

from __future__ import annotations

import csv
from pathlib import Path

from benchmarks.contenders import FILES, MEMCPY, ORDERS

COLOURS = {"1": "#0072B2", "2": "#E69F00"}
"""By readers: blue and orange of Okabe and Ito, told apart by all; the second is hatched as well."""


def draw(table: Path, picture: Path) -> None:
    """The warm figures as bars with memcpy's line, and the cold ones, out of the CSV."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    rate = {(row["contender"], row["order"], row["readers"], row["cache"]): float(row["images_per_second"])
            for row in rows}
    size = {row["contender"]: float(row["bytes_on_disk"] or 0) for row in rows}
    names = sorted({name for name, *_ in rate} - {MEMCPY, FILES}, key=lambda name: rate[name, "shuffled", "1", "warm"])
    panels = [("shuffled", "warm"), ("in order", "warm"), ("shuffled", "cold")]
    panels = [panel for panel in panels if any((order, cache) == panel for _, order, _, cache in rate)]
    figure, axes = plt.subplots(1, len(panels), figsize=(4.6 * len(panels) + 1.4, 0.52 * len(names) + 1.7), sharey=True,
                                squeeze=False, layout="constrained")
    for axis, (order, cache) in zip(axes[0], panels, strict=True):
        for readers, shift in (("1", 0.2), ("2", -0.2)):
            values = [rate.get((name, order, readers, cache), 0.0) for name in names]
            if not any(values):
                continue
            places = [place + shift for place in range(len(names))]
            bars = axis.barh(places, values, 0.38, color=COLOURS[readers], hatch="" if readers == "1" else "///",
                             edgecolor="white", label=f"{readers} reader{'s' * (readers == '2')}")
            axis.bar_label(bars, [f"{value:,.0f}" if value else "" for value in values], padding=2, fontsize=7,
                           bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6, "alpha": 0.8})
            limit = rate.get((MEMCPY, order, readers, cache))
            if limit:
                axis.axvline(limit, color=COLOURS[readers], linestyle="--" if readers == "1" else ":", linewidth=1.4,
                             label=f"memcpy, {readers} reader{'s' * (readers == '2')}: {limit:,.0f}")
        if cache == "cold" and (FILES, ORDERS[0], "1", "cold") in rate:
            limit = rate[FILES, ORDERS[0], "1", "cold"]
            axis.axvline(limit, color="#000000", linestyle="-.", linewidth=1.2, label=f"reading files: {limit:,.0f}")
        axis.set_title(f"{order}, {cache} page cache", fontsize=10)
        axis.set_xlabel("images/s (36 x 2048 float16)")
        axis.margins(x=0.14)
        axis.xaxis.set_major_formatter(matplotlib.ticker.StrMethodFormatter("{x:,.0f}"))
        axis.tick_params(axis="x", labelsize=8)
        axis.spines[["top", "right"]].set_visible(False)
        axis.legend(fontsize=7, loc="lower right", frameon=True)
    axes[0][0].set_yticks(range(len(names)), [f"{name}  ({size[name] / 1e9:.2f} GB)" for name in names])
    for label in axes[0][0].get_yticklabels():
        label.set_fontweight("bold" if label.get_text().startswith("heed") else "normal")
    picture.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(picture, dpi=150, metadata={"Software": None})
    plt.close(figure)
