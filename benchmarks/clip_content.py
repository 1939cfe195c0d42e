"""What scenes:objects' features say of who acts, and what captions make of it.

    python -m benchmarks.clip_content FOLDER [MASK]      after python -m benchmarks.captioning FOLDER MASK

Of every event of the videos in FOLDER its actor's colour and shape are told from the features of the clips it is in, by
two readers: a rule, which knows the kind of event and takes the likeliest look of what does such a thing; and a linear
probe, which does not, trained on the training split. And of the run's test captions, whose first clause is compared
with the video's events: whether it names a kind of event that there is, and then its actor's colour, shape and both.
And what CIDEr somebody gets who has seen the same videos and writes of them with other words and another choice.
Writes benchmarks/results/clip_content.json, in percent but for CIDEr.
"""

from __future__ import annotations

import json
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression

from benchmarks.recipes import write
from evaluation.captions import evaluate_captions
from features.encoders.scenes_objects import MEASURES
from pipeline.scenes.phrases import ADJECTIVES, NOUNS
from pipeline.scenes.shapes import SHAPES
from pipeline.scenes.video import Event, Video, video
from pipeline.scenes.video.language import SAID, video_captions
from pipeline.scenes.world import COLOURS
from pipeline.store import Store

AWAY = ("left", "right", "up", "down")
DOES = {"enter": (*AWAY, "appears"), "leave": (*AWAY, "vanishes"), "move": AWAY, "spin": ("stretches", "changes"),
        "jump": ("up", "down"), "shake": ("left", "right"), "blink": ("appears", "vanishes"), "grow": ("grows",),
        "shrink": ("shrinks",), "recolour": ("recolours",), "bump": AWAY}
"""Kind of event -> what its actor does."""


def seen(store: Store, row: int, events: list[Event]) -> np.ndarray:
    """Each event's features (events, measures, looks): its clips', weighted by how much of it each holds."""
    found = store.row(row)
    starts, ends = found["spans"].T
    shares = np.array([np.clip(np.minimum(event.end, ends) - np.maximum(event.start, starts), 0, None)
                       for event in events])
    features = found["features"].astype(np.float32).reshape(len(starts), len(MEASURES), -1)
    weighted: np.ndarray = np.einsum("ec,cml->eml", shares / shares.sum(1, keepdims=True), features)
    return weighted


def readers(store: Store) -> dict[str, Any]:
    """How often both readers tell the actor's colour and shape; the probe on the videos it was not trained on."""
    features, truth, by_rule, training = [], [], [], []
    for row in range(len(store)):
        index = int(Path(store.key(row)).stem)
        shown = video(0, index)
        events = [event for event in shown.events if event.actor is not None]
        for event, one in zip(events, seen(store, row, events) if events else [], strict=True):
            looks = one[[MEASURES.index(name) for name in DOES[event.kind]]].sum(0)
            features.append(one.ravel())
            truth.append(look(shown, event))
            by_rule.append((COLOURS[looks[8:16].argmax()], SHAPES[looks[:8].argmax()]))
            training.append(index % 10 < 8)
    of, true, chosen = np.array(features), np.array(truth), np.array(training)
    scaled = (of - of[chosen].mean(0)) / (of[chosen].std(0) + 1e-3)
    probed = np.stack([LogisticRegression(C=0.03, max_iter=300).fit(scaled[chosen], true[chosen, kind]).predict(scaled)
                       for kind in (0, 1)], 1)
    return {"events": len(true), "events tested": int((~chosen).sum()),
            "rule": percent(np.array(by_rule) == true), "linear probe": percent((probed == true)[~chosen])}


def percent(right: np.ndarray) -> dict[str, float]:
    """Of (n, 2) bool."""
    return {"colour": round(100 * right[:, 0].mean(), 1), "shape": round(100 * right[:, 1].mean(), 1),
            "both": round(100 * right.all(1).mean(), 1)}


def look(shown: Video, event: Event) -> tuple[str, str]:
    """The colour and shape of an event's actor when it begins."""
    assert event.actor is not None and event.before is not None
    return event.before.colour, shown.actors[event.actor].shape


def captions(run: Path) -> dict[str, Any]:
    """What the first clauses of a run's test captions have right."""
    rows = json.loads((run / "predictions" / "test.json").read_text(encoding="utf-8"))
    right = []
    for row in rows:
        clause = re.split(r" while | and then | and later | before ", row["caption"])[0]
        shown = video(0, int(Path(row["image_id"]).stem))
        events = [event for event in shown.events if event.actor is not None and says(clause, event.kind)]
        if events:
            named = np.array([(any(word in clause.split() for word in ADJECTIVES.get(colour, (colour,))),
                               any(word in clause.split() for word in NOUNS[shape]))
                              for colour, shape in (look(shown, event) for event in events)])
            right.append(named[named.sum(1).argmax()])
    return {"captions": len(rows), "tell an event of the video": round(100 * len(right) / len(rows), 1),
            "of these": percent(np.array(right))}


def another_writer(run: Path) -> dict[str, Any]:
    """CIDEr of a caption of each test video that is written anew, against the video's five."""
    said, true = [], []
    for row in json.loads((run / "predictions" / "test.json").read_text(encoding="utf-8")):
        shown = video(0, int(Path(row["image_id"]).stem))
        again = replace(shown, seed=1)  # the seed chooses nothing but words here
        said.append({"image_id": row["image_id"], "caption": video_captions(again)[0].text})
        true += [{"image_id": row["image_id"], "caption": one.text} for one in video_captions(shown)]
    cider: dict[str, Any] = evaluate_captions(said, true, with_meteor=False)["figures"]["CIDEr"]
    return cider


def says(clause: str, kind: str) -> bool:
    """Whether a clause has the words of a kind of event, in their order, whatever stands between."""
    return any(re.search(r"\b.*\b".join(re.sub(r"\{\w+\}", "", form).split()), clause) for form in SAID[kind])


def main(folder: Path, mask: str = "none") -> None:
    write("clip_content", {**readers(Store.open(folder / "objects")), "captioner": captions(folder / mask),
                           "CIDEr of another writer": another_writer(folder / mask)})


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
