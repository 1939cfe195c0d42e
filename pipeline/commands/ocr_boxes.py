"""`heed ocr-boxes`: which boxes of which images to extract features of words from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional


@dataclass(frozen=True)
class OcrBoxes:
    """Write the boxes of the words in images as a list that `heed extract regions` takes, an image a line.

    heed extract regions OUT STORE then pools a feature for each box, in the words' order: the store for
    heed train text-vqa --ocr-store.
    """

    # A scenes folder of the flavour signs, or an imdb file of MMF or a folder of them.
    questions: Positional[Path]
    # Folder of the images.
    images: Positional[Path]
    # The list to write (.jsonl).
    out: Positional[Path]

    def run(self) -> int:
        """Write the list; return the exit status."""
        from pipeline.datasets import read_text_questions
        from pipeline.ocr_boxes import write_ocr_boxes

        count, words = write_ocr_boxes(read_text_questions(self.questions), self.images, self.out)
        print(f"{self.out}: {words:,} words in {count:,} images.")
        return 0
