"""What MAC's task takes from its data: words and answers that it knows, what an answer is worth, the stem's grid."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from features.errors import HeedError

if TYPE_CHECKING:
    from features.text.symbols import Symbols
    from pipeline.annotations import Question
    from training.tasks.vqa import VqaConfig

WORDS_FILE, ANSWERS_FILE = "words.txt", "answers.txt"


def worth_of(question: Question, answers: Symbols, soft: bool) -> dict[int, float]:
    """Known answers by number with what each is worth, 0 to 1; none where no answer of the question is known.

    Without ``soft`` the commonest answer is worth 1.
    """
    from evaluation.metrics.answers import soft_accuracy

    people = told(question)
    if soft and len(people) > 1:
        worth = {answer: soft_accuracy(answer, people) for answer in dict.fromkeys(people)}
    else:
        worth = {Counter(people).most_common(1)[0][0]: 1.0} if people else {}
    return {answers.numbers[answer]: value for answer, value in worth.items() if answer in answers.numbers}


def told(question: Question) -> list[str]:
    """A question's answers: as they are where there is one, as VQA's evaluation compares them where there are more."""
    from evaluation.metrics.answers import normalised

    return list(question.answers) if len(question.answers) == 1 else [normalised(one) for one in question.answers]


def vocabularies(config: VqaConfig, questions: Sequence[Question]) -> tuple[Symbols, Symbols]:
    """The run's words and answers: read where the run has them, else built from the training questions and kept."""
    from features.text.clevr import SPECIAL, answer_vocabulary, tokenize
    from features.text.symbols import Symbols

    words, answers = config.out / WORDS_FILE, config.out / ANSWERS_FILE
    if not (words.exists() and answers.exists()):
        counts = Counter(token.text for question in questions for token in tokenize(question.text))
        common = Counter(Counter(told(question)).most_common(1)[0][0] for question in questions if question.answers)
        config.out.mkdir(parents=True, exist_ok=True)
        answer_vocabulary(_often(common, config.min_answers)).save(answers)
        Symbols.build(_often(counts, config.min_words), SPECIAL, SPECIAL[1]).save(words)
    return Symbols.load(words, SPECIAL[1]), Symbols.load(answers)


def _often(counts: Counter[str], least: int) -> list[str]:
    return [one for one, count in counts.items() if count >= least]


def grid_in(config: VqaConfig, store: Any) -> tuple[int, int] | None:
    """The grid of a convolutional stem, by the first row of the store; None for a linear one."""
    from features.boxes import grid_of

    if config.model.stem == "linear":
        return None
    grid = grid_of(store.row(0)["boxes"])
    if grid is None and config.model.stem == "cnn":
        raise HeedError(f"The regions of {config.store} are not the cells of a grid, which --model.stem cnn needs.")
    return grid
