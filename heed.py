"""heed: a data-pipeline-first framework for studying attention in vision-and-language models.

This is the front door: it finds the command that the words name, lets tyro read its options, and runs it. It imports
nothing heavy before a command does.
"""

from __future__ import annotations

import difflib
import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from features.errors import HeedError

__version__ = "0.1.0"

COMMANDS: dict[str, tuple[str, str]] = {
    "demo": ("training.demo:Demo", "the whole road on rendered scenes, in minutes; ends with a report"),
    "scenes": ("pipeline.commands.scenes:Scenes", "render the scenes dataset, with its truth"),
    "ocr-boxes": ("pipeline.commands.ocr_boxes:OcrBoxes", "boxes of the words in images, to extract features from"),
    "extract regions": ("pipeline.commands.extract:ExtractRegions", "images into a store of region features"),
    "extract frames": ("pipeline.commands.frames:ExtractFrames", "videos into a store of frames"),
    "extract clips": ("pipeline.commands.clips:ExtractClips", "videos into a store of a feature for each clip"),
    "extract sound": ("pipeline.commands.sound:ExtractSound", "videos' sound into a store of a feature for each clip"),
    "extract text": ("pipeline.commands.text:ExtractText", "captions and queries into a store of token features"),
    "import": ("pipeline.commands.exchange:Import", "somebody else's feature files into a store"),
    "store info": ("pipeline.commands.store:StoreInfo", "what a store holds"),
    "store verify": ("pipeline.commands.store:StoreVerify", "is a store sound?"),
    "store repair": ("pipeline.commands.store:StoreRepair", "make a store's damaged shards again"),
    "store peek": ("pipeline.commands.store:StorePeek", "look at rows of a store"),
    "store convert": ("pipeline.commands.rewrite:StoreConvert", "another shard format, number type or shard size"),
    "store merge": ("pipeline.commands.rewrite:StoreMerge", "several stores into one"),
    "store subset": ("pipeline.commands.rewrite:StoreSubset", "some of a store's rows, by keys or patterns"),
    "store export": ("pipeline.commands.exchange:StoreExport", "a store into somebody else's feature files"),
    "train matching": ("training.tasks.matching:MatchingConfig", "image-text matching (SCAN)"),
    "train pretraining": ("training.tasks.pretraining:PretrainingConfig", "words, regions, matching (UNITER, LXMERT)"),
    "train classification": ("training.tasks.classification:ClassificationConfig", "a ViT, with the mask or without"),
    "train vqa": ("training.tasks.vqa:VqaConfig", "questions about images (MAC)"),
    "train generation": ("training.tasks.generation:GenerationConfig", "text-to-image generation (AttnGAN)"),
    "train damsm": ("training.tasks.damsm:DamsmConfig", "text and image encoders that guide AttnGAN (DAMSM)"),
    "train text-vqa": ("training.tasks.text_vqa:TextVqaConfig", "questions about words in images (M4C)"),
    "train detection": ("training.tasks.detection:DetectionConfig", "the small detector of the scenes"),
    "train moments": ("training.tasks.moments:MomentsConfig", "moments and highlights (Moment-DETR, QD-DETR)"),
    "train captioning": ("training.tasks.captioning:CaptioningConfig", "captions of videos (SwinBERT's captioner)"),
    "train description": ("training.tasks.description:DescriptionConfig", "audio description of films (AutoAD)"),
    "faithfulness": ("training.faithfulness:Faithfulness", "does a run's score rest on what it attends to?"),
    "find moments": ("training.tasks.moments_find:FindMoments", "moments of queries in videos, by a trained model"),
    "masks": ("training.masks_command:Masks", "the learnable masks of a run, and what they do to attention"),
    "predict": ("training.commands:Predict", "predictions of a trained run, as a file"),
    "evaluate matching": ("evaluation.commands.matching:EvaluateMatching", "recall, ranks, attention against truth"),
    "evaluate pretraining": ("evaluation.commands.pretraining:EvaluatePretraining", "hidden words, regions, matching"),
    "evaluate moments": ("evaluation.commands.moments:EvaluateMoments", "moment retrieval and highlights"),
    "evaluate captioning": ("evaluation.commands.captioning:EvaluateCaptioning", "BLEU, ROUGE-L, CIDEr, METEOR"),
    "evaluate description": ("evaluation.commands.description:EvaluateDescription", "CIDEr, R@k/N of neighbours"),
    "evaluate answers": ("evaluation.commands.answers:EvaluateAnswers", "soft accuracy of answers, ANLS"),
    "probe": ("evaluation.commands.probe:Probe", "what a pretrained model's states and attention know (VALUE)"),
    "evaluate classification": ("evaluation.commands.classification:EvaluateClassification", "top-1 and top-5"),
    "evaluate vqa": ("evaluation.commands.vqa:EvaluateVqa", "answers to questions, attention at every step"),
    "evaluate generation": ("evaluation.commands.generation:EvaluateGeneration", "R-precision, named objects, IS, FID"),
    "evaluate text-vqa": ("evaluation.commands.text_vqa:EvaluateTextVqa", "answers, copied words, where one looked"),
    "draw text-vqa": ("evaluation.commands.draw_text_vqa:DrawTextVqa", "where answers looked: words in the image"),
    "evaluate attention": ("evaluation.commands.attention:EvaluateAttention",
                           "entropy, sparsity and agreement of any task's attention"),
    "draw matching": ("evaluation.commands.draw_matching:DrawMatching", "the words that look at one region (SCAN)"),
    "report": ("evaluation.commands.report:Report", "one page: tables, curves, attention on the photos"),
}
"""The words of a command -> where its options and ``run`` are, and what it is for."""
COMMANDS |= {f"sweep {task}": (f"training.sweep.command:{task}", "variants x seeds of it, compared in a table")
             for kind, _, task in (name.partition(" ") for name in COMMANDS) if kind == "train"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; gives its exit status: 0 well, 1 a problem found, 2 not to be done as asked, 3 see extract."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or words[0] in ("-h", "--help", "help"):
        print(usage())
        return 0
    if words[0] in ("--version", "version"):
        print(f"heed {__version__}")
        return 0
    try:
        name, rest = find_command(words)
        module, _, attribute = COMMANDS[name][0].partition(":")
        return parse(name, getattr(import_module(module), attribute), rest).run()
    except HeedError as error:
        print(f"heed: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nheed: stopped. What is committed stays; the same command goes on from there.", file=sys.stderr)
        return 130


def parse(name: str, command: Any, words: Sequence[str]) -> Any:
    """Read a command's options from ``words``; a wrong name is told before a missing value is."""
    import tyro

    config = (tyro.conf.FlagCreatePairsOff,)
    known = set() if {"-h", "--help"} & set(words) else _options(command, config)
    for word in words if known else ():
        option = word.split("=")[0].replace("_", "-")
        if word.startswith("--") and option not in known:
            near = difflib.get_close_matches(option, known, 1)
            hint = f" Did you mean {near[0]}?" if near else ""
            raise HeedError(f"heed {name} has no option {option}.{hint} heed {name} --help lists them.")
    return tyro.cli(command, prog=f"heed {name}", args=list(words), config=config)


def _options(command: Any, config: tuple) -> set[str]:
    """The names of a command's options; empty where this tyro does not tell them (it then finds wrong names itself)."""
    import tyro

    try:
        with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
            return set(tyro.extras.get_parser(command, config=config)._option_string_actions)
    except AttributeError:
        return set()


def find_command(words: Sequence[str]) -> tuple[str, list[str]]:
    """The command that the first words name, and the words behind it; `HeedError` with the nearest one if none."""
    for count in (2, 1):
        if " ".join(words[:count]) in COMMANDS:
            return " ".join(words[:count]), list(words[count:])
    typed = " ".join(word for word in words[:2] if not word.startswith("-"))
    family = [name for name in COMMANDS if name.split()[0] == words[0]]
    if family:
        raise HeedError(f"{typed!r} is no command; there is {', '.join(f'heed {name}' for name in family)}.")
    near = difflib.get_close_matches(typed, COMMANDS, 1, 0.5) or difflib.get_close_matches(words[0], COMMANDS, 1, 0.5)
    hint = f" Did you mean heed {near[0]}?" if near else ""
    raise HeedError(f"{typed!r} is no command.{hint} heed --help lists them.")


def usage() -> str:
    """The list of commands."""
    width = max(len(name) for name in COMMANDS)
    lines = [f"  heed {name:{width}}  {words}" for name, (_, words) in COMMANDS.items()]
    return "\n".join(["heed studies attention in vision-and-language models.", "", *lines, "",
                      "heed COMMAND --help tells its options; heed --version the version."])


if __name__ == "__main__":
    sys.exit(main())
