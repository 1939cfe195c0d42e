import numpy as np
import pytest

from evaluation.probes import linguistic
from evaluation.probes.options import ProbeOptions
from evaluation.probes.reading import fill_sentences
from evaluation.probes.run import Plan, run_probes
from evaluation.probes.sentences import SentenceStates, taken
from evaluation.subjects.batches import make_batch
from features.errors import HeedError
from pipeline.datasets.senteval import files, read
from tests.evaluation.probes.tiny import tiny_lxmert, tiny_uniter, vocabulary
from tests.shared import SHARED, needs_shared

WORDS = ("dog", "cat", "runs", "sits", "red", "blue")


@pytest.fixture
def folder(tmp_path):
    """Sentences whose tense is a word of their own: "runs" is present, "sits" past; and files of noise."""
    rng = np.random.default_rng(0)
    lines = [[], []]
    for number in range(150):
        split = ("tr", "tr", "tr", "va", "te")[number % 5]
        verb = rng.integers(2)
        sentence = f"{WORDS[rng.integers(2)]} {WORDS[2 + verb]} {' '.join(rng.choice(WORDS[4:], rng.integers(1, 5)))}"
        lines[0].append(f"{split}\t{'PRES' if verb else 'PAST'}\t{sentence}")
        lines[1].append(f"{split}\t{rng.integers(2)}\t{sentence}")
    for name, content in zip(("past_present", "bigram_shift"), lines, strict=True):
        (tmp_path / f"{name}.txt").write_text("\n".join(content))
    return tmp_path, vocabulary(tmp_path / "vocab.txt", WORDS)


@pytest.mark.parametrize("pooling", ["mean", "cls"])
@pytest.mark.parametrize("make", [tiny_uniter, tiny_lxmert])
def test_states_are_pooled_over_words_or_taken_from_cls(folder, tmp_path, make, pooling):
    place, words = folder
    subject = make(words, 5)
    fill_sentences(subject, files(place), tmp_path / "states", pooling, 1000, batch=7)
    found = SentenceStates.open(tmp_path / "states" / "past_present")
    texts = [sentence.text for sentence in found.sentences]
    reading = subject.read(make_batch(subject, texts[:1], None))
    layer = next(layer for layer in reversed(reading.layers) if layer.text is not None)
    states = layer.text[0].numpy()
    assert found.layers[-1] == layer.name and "cross" not in layer.name
    assert found.states(layer.name)[0] == pytest.approx(states[0] if pooling == "cls" else states[1:-1].mean(0),
                                                        abs=1e-5)


def test_a_word_is_found_in_the_states_and_noise_is_not(folder, tmp_path):
    place, words = folder
    plan = Plan(tiny_uniter(words, 5), None, tmp_path / "out", ["linguistic"], ["subject"],
                ProbeOptions(resamples=50), place)
    found = run_probes(plan)["subject"]["linguistic"]
    best = {row["task"]: row for row in found.find(linguistic.BEST)}
    assert best["past_present"]["accuracy"].value > 0.9 and best["past_present"]["over majority"].low > 0
    assert best["bigram_shift"]["accuracy"].low < 0.5 < best["bigram_shift"]["accuracy"].high + 0.1
    assert found.find("past_present", features="words")[0]["accuracy"].value == 1
    assert "word_content: no file" in found.notes and len(found.tables) == 3


def test_blank_regions_bring_the_cross_layers(folder, tmp_path):
    place, words = folder
    fill_sentences(tiny_lxmert(words, 5), files(place), tmp_path / "states", "mean", 40, blank=3)
    found = SentenceStates.open(tmp_path / "states" / "past_present")
    assert "cross 1" in found.layers and len(found.sentences) == 40


def test_fewer_sentences_keep_the_shares_of_the_splits(folder):
    sentences = read(folder[0] / "past_present.txt")
    kept = taken(sentences, 50)
    assert [sum(s.split == split for s in kept) for split in ("train", "val", "test")] == [30, 10, 10]
    assert taken(sentences, 1000) == sentences


def test_states_of_another_file_are_refused(folder, tmp_path):
    place, words = folder
    subject = tiny_uniter(words, 5)
    fill_sentences(subject, files(place), tmp_path / "states", "mean", 40)
    (place / "past_present.txt").write_text("tr\tPAST\tdog sits\nte\tPRES\tcat runs\n")
    with pytest.raises(HeedError, match="holds readings"):
        fill_sentences(subject, files(place), tmp_path / "states", "mean", 40)


@needs_shared
def test_real_probing_files_go_through_a_random_subject_end_to_end(tmp_path):
    place = SHARED / "data" / "probing"
    texts = [sentence.text for file in files(place).values() for sentence in read(file)]
    subject = tiny_uniter(vocabulary(tmp_path / "vocab.txt", texts), 5)
    options = ProbeOptions(resamples=50, most_sentences=240, iterations=15)
    found = run_probes(Plan(subject, None, tmp_path / "out", ["linguistic"], ["subject", "random"], options, place,
                            pictures=False))
    for results in found.values():
        result = results["linguistic"]
        best = {row["task"]: row for row in result.find(linguistic.BEST)}
        assert set(best) == set(files(place))
        assert best["sentence_length"]["over majority"].low > 0  # positions are in the sum, even of random weights
        assert best["bigram_shift"]["accuracy"].low < 0.55  # and the order of words is not
        assert all(row["accuracy"].n > 20 for row in best.values())

