"""`heed draw text-vqa`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional


@dataclass(frozen=True)
class DrawTextVqa:
    """Draw where a run's answers looked: boxes of words as thick as the attention on them, the question's words marked.

    The three most attended words are in colour with their rank.
    """

    # Folder of the run, with predictions, attention and truth of the split.
    run_folder: Positional[Path]
    # The PNG to write.
    out: Positional[Path]
    # Which predictions.
    split: str = "test"
    # Questions by id; empty takes some, half of them answered rightly, by a fixed rule.
    ids: tuple[str, ...] = ()
    # How many where no ids are given.
    count: int = 4
    # Folder of the photos, where it cannot be told from the run's configuration.
    photos: Path | None = None

    def run(self) -> int:
        """Write the picture; return the exit status."""
        from evaluation.report.answer_samples import answered, choose
        from evaluation.report.photos import find_photo, photo_folder
        from evaluation.run_folder import read_run
        from evaluation.text_vqa import DECODER
        from evaluation.word_figure import Shown, draw
        from features.errors import HeedError

        run = answered(read_run(self.run_folder), self.split)
        if run is None:
            raise HeedError(f"{self.run_folder} has no predictions of split {self.split} with attention and truth.")
        shown = []
        for name in self.ids or choose(run, self.count):
            if name not in run.truth or name not in run.answers:
                raise HeedError(f"{self.run_folder} has no answer to a question {name!r} in split {self.split}.")
            question = run.truth[name]
            folder = self.photos or photo_folder([run.run], question.key)
            photo = find_photo(folder, question.key) if folder else None
            if photo is None:
                raise HeedError(f"The photo {question.key!r} is not to be found; give its folder as --photos.")
            steps = run.attention.of(name, DECODER)
            said = [step for step in steps if "</s>" not in step.queries.labels] or steps
            if not said:
                raise HeedError(f"{self.run_folder} kept no attention of question {name!r}.")
            shown.append(Shown(question, run.answers[name], said, photo))
        draw(shown, self.out)
        print(f"{self.out}: {len(shown)} questions of {self.run_folder}.")
        return 0
