"""METEOR 1.5 (Denkowski and Lavie 2014), by its own Java program, which pycocoevalcap carries.

The program is driven as coco-caption does, over its standard input and output. Unlike there, the locale is fixed (with
a decimal comma the program cannot read its own numbers), and what it says when it dies reaches the user.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from features.errors import HeedError

Words = Sequence[str]
MEMORY = "2G"


def jar() -> Path | None:
    """The program, where pycocoevalcap is installed."""
    found = importlib.util.find_spec("pycocoevalcap")
    places = list(found.submodule_search_locations or []) if found else []
    path = Path(places[0], "meteor", "meteor-1.5.jar") if places else None
    return path if path and path.is_file() else None


def missing() -> str:
    """Why METEOR cannot be computed here, as a clause; "" where it can."""
    if shutil.which("java") is None:
        return "there is no Java on this machine"
    return "" if jar() else "pycocoevalcap is not installed (pip install 'heed[captions]')"


def meteor(captions: Sequence[Words], references: Sequence[Sequence[Words]]) -> tuple[float, np.ndarray]:
    """METEOR of the whole, and of each caption (images,), in 0 … 1; the whole is not the mean of the captions.

    Raises `HeedError` where Java or the program is missing or it does not answer.
    """
    if reason := missing():
        raise HeedError(f"METEOR cannot be computed: {reason}.")
    program = jar()
    assert program
    command = ["java", f"-Xmx{MEMORY}", "-Duser.language=en", "-Duser.country=US", "-jar", program.name,
               "-", "-", "-stdio", "-l", "en", "-norm"]
    with subprocess.Popen(command, cwd=program.parent, env={**os.environ, "LC_ALL": "C.UTF-8"}, text=True,
                          encoding="utf-8", stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE) as process:
        into, out, errors = process.stdin, process.stdout, process.stderr
        assert into and out and errors

        def ask(line: str, answers: int) -> list[str]:
            into.write(line + "\n")
            into.flush()
            said = [out.readline().strip() for _ in range(answers)]
            if not all(said):
                raise BrokenPipeError("it ended")
            return said

        try:
            counts = [ask(" ||| ".join(["SCORE", *map(_text, group), _text(caption)]), 1)[0]
                      for caption, group in zip(captions, references, strict=True)]
            scores = ask(" ||| ".join(["EVAL", *counts]), len(counts) + 1)
            return float(scores[-1]), np.array([float(score) for score in scores[:-1]])
        except (OSError, ValueError) as error:
            process.kill()
            said = errors.read().strip()[-500:]
            raise HeedError(f"METEOR's Java program stopped ({error}): {said}") from None
        finally:
            into.close()


def _text(words: Words) -> str:
    return " ".join(words).replace("|||", "")
