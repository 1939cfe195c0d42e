"""`heed draw matching`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional


@dataclass(frozen=True)
class DrawMatching:
    """Which words look at one region: the five best captions of its image, ticked or crossed, those words bold.

    The form of the attention study's figures of SCAN. Wrong captions are shown without bold words, as a run keeps the
    attention of an image's own captions alone.
    """

    # A run of matching.
    run_folder: Positional[Path]
    # Key of the image; by default the first of the split.
    image: str = ""
    # Number of the region in the store's order, which is a detector's order of confidence; by default the one that gets
    # the most attention in all.
    region: int | None = None
    # test, or another split that was predicted into the run's folder.
    split: str = "test"
    # Words marked.
    words: int = 5
    # A picture to draw (.png); it needs the photo.
    out: Path | None = None
    # Folder of the photos; by default the one beside the data that the run was trained on.
    photos: Path | None = None

    def run(self) -> int:
        """Print the captions and words, draw the picture; return the exit status."""
        from evaluation.predictions import MatchingPredictions
        from evaluation.region_words import draw_region_words, most_attended, pieces, region_words
        from evaluation.report.photos import find_photo, photo_folder
        from evaluation.run_folder import read_run
        from evaluation.truth import read_truth
        from features.errors import HeedError

        run = read_run(self.run_folder)
        if self.split not in run.predictions or self.split not in run.truth:
            raise HeedError(f"{self.run_folder} holds no predictions of {self.split} with their truth.")
        read = MatchingPredictions.read(run.predictions[self.split])
        image = self.image or read.images[0]
        region = most_attended(read, image) if self.region is None else self.region
        found = region_words(read, read_truth(run.truth[self.split]), image, region, words=self.words)
        print(f"Region {region} of {image}: " + ", ".join(f"{word} {weight:.2f}" for word, weight in found.words))
        for caption in found.captions:
            text = " ".join(f"*{text}*" if bold else text for text, bold in pieces(caption))
            print(f"{'✓' if caption.right else '✗'} {caption.score:.3f}  {text}")
        if self.out is None:
            return 0
        folder = self.photos or photo_folder([run], image)
        photo = find_photo(folder, image) if folder else None
        if photo is None:
            raise HeedError(f"There is no photo of {image!r} {f'in {folder}' if folder else 'to be found'}: give the "
                            "folder of the photos with --photos.")
        draw_region_words(found, photo, self.out)
        print(f"{self.out}: drawn.")
        return 0
