"""What is in the scenes dataset, counted: python -m benchmarks.scenes_content

Writes benchmarks/results/scenes_content.json: over 1,000 scenes, 1,000 scenes with signs and 500 videos of seed 0, how
many objects, questions, moments, … there are, and how far one comes without looking. Takes a minute.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np

from pipeline.scenes import captions, relations, scene
from pipeline.scenes.questions import TEN_ANSWERS, questions
from pipeline.scenes.signs import WORDS, sign_scene
from pipeline.scenes.text_questions import text_questions
from pipeline.scenes.video import HEARD, descriptions, queries, video
from pipeline.scenes.video.relevance import relevance

SCENES, VIDEOS = 1000, 500


def by_kind_alone(pairs: list[tuple[str, str]]) -> float:
    """The share of answers that the commonest answer of a question's kind gets right."""
    kinds: dict[str, Counter[str]] = defaultdict(Counter)
    for kind, answer in pairs:
        kinds[kind][answer] += 1
    return round(sum(max(counts.values()) for counts in kinds.values()) / len(pairs), 3)


def pictures() -> dict[str, float]:
    scenes = [scene(0, i) for i in range(SCENES)]
    asked = [(q.kind, q.answer) for s in scenes for q in questions(s)]
    ten = [(kind, answer) for kind, answer in asked if answer in TEN_ANSWERS]
    phrases = [phrase for s in scenes for caption in captions(s) for phrase in caption.phrases]
    return {
        "objects a scene": sum(len(s.objects) for s in scenes) / SCENES,
        "relations a scene": sum(len(relations(s)) for s in scenes) / SCENES,
        "linked phrases a caption": round(len(phrases) / SCENES / 5, 2),
        "questions a scene": len(asked) / SCENES,
        "right by the commonest answer of each kind": by_kind_alone(asked),
        "questions of the ten answers a scene": len(ten) / SCENES,
        "of these right by the commonest answer of each kind": by_kind_alone(ten),
        "of these right by the commonest answer": round(Counter(a for _, a in ten).most_common(1)[0][1] / len(ten), 3),
    }


def signs() -> dict[str, float]:
    scenes = [sign_scene(0, i) for i in range(SCENES)]
    lines = [line for s in scenes for sign in s.signs for line in sign.lines]
    training = {line for s in scenes if s.index % 10 < 8 for sign in s.signs for line in sign.lines}
    testing = [line for s in scenes if s.index % 10 == 9 for sign in s.signs for line in sign.lines]
    asked = [q for s in scenes for q in text_questions(s)]
    return {
        "signs a scene": sum(len(s.signs) for s in scenes) / SCENES,
        "text questions a scene": len(asked) / SCENES,
        "answers copied from a sign": round(sum(q.copied for q in asked) / len(asked), 3),
        "of these of two lines": round(np.mean([" " in q.answer for q in asked if q.copied]).item(), 3),
        "lines that are a listed word": round(sum(line in WORDS for line in lines) / len(lines), 3),
        "lines of the test split that training never showed": round(
            sum(line not in training for line in testing) / len(testing), 3),
    }


def videos() -> dict[str, float]:
    total: Counter[str] = Counter()
    lengths = []
    for i in range(VIDEOS):
        of = video(0, i)
        asked = queries(of)
        kinds = Counter(of.events[q.events[0]].kind for q in asked)
        total.update(events=len(of.events), queries=len(asked), descriptions=len(descriptions(of)))
        for number, query in enumerate(asked):
            kind = of.events[query.events[0]].kind
            found = relevance(of, number, query.events)
            lengths += [end - start for start, end in found.windows]
            total.update(alone=kinds[kind] == 1, heard=kind in HEARD, windows=len(found.windows),
                         several=len(found.windows) > 1, excellent=any(4 in scores for scores in found.saliency))
    of_queries = {name: round(total[name] / total["queries"], 3) for name in ("alone", "heard", "several", "excellent")}
    return {
        "events a video": total["events"] / VIDEOS, "queries a video": total["queries"] / VIDEOS,
        "descriptions a video": total["descriptions"] / VIDEOS,
        "windows a query": round(total["windows"] / total["queries"], 3),
        "seconds a window": round(float(np.mean(lengths)), 2),
        "queries whose kind of event happens to nobody else": of_queries["alone"],
        "queries about what is only heard": of_queries["heard"],
        "queries with several windows": of_queries["several"],
        "queries with a clip rated 4": of_queries["excellent"],
    }


def main() -> None:
    result = {"scenes": pictures(), "scenes with signs": signs(), "videos of 24 seconds": videos()}
    out = Path(__file__).parent / "results" / "scenes_content.json"
    out.write_text(json.dumps(result, indent=1) + "\n")
    print(out.read_text(), end="")


if __name__ == "__main__":
    main()
