"""How far heed is from detectron2: python -m benchmarks.detector_parity PHOTOS [PIXELS]

Needs detectron2. Writes benchmarks/results/detector_parity.json: for the first ten photos of the folder PHOTOS, the
largest differences between what the backend gives in one batch and what detectron2's own `DefaultPredictor` gives photo
by photo, for a C4 and an FPN Faster R-CNN of its model zoo; and between heed's own bottom-up network and the one that
detectron2 builds from py-bottom-up-attention's configuration, at full width and depth. Weights are random, scaled so
that classes, boxes and ranks vary; classes and the number and order of boxes must agree, or the script stops.

PIXELS is the shorter side of what the networks see: 800 and 600 of the configurations unless given.
"""

from __future__ import annotations

import json
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.detectors import VISUAL_GENOME

ZOO = ("COCO-Detection/faster_rcnn_R_50_C4_1x.yaml", "COCO-Detection/faster_rcnn_R_50_FPN_1x.yaml")


def lively(model: Any, photo: np.ndarray, sees: Any) -> None:
    """Random weights under which nothing fades or explodes, and class scores that differ from box to box."""
    import torch

    from tests.features.c4_weights import random_tensors

    model.load_state_dict(random_tensors({k: tuple(v.shape) for k, v in model.state_dict().items()}, 1, 0.6))
    with torch.no_grad():
        images = model.preprocess_image([sees(photo)])
        maps = model.backbone(images.tensor)
        proposals, _ = model.proposal_generator(images, maps, None)
        features = pooled(model, maps, [proposals[0].proposal_boxes])
        scores = model.roi_heads.box_predictor.cls_score
        scores.weight.mul_(2 / (features @ scores.weight.T).std(0).mean())
        scores.bias.copy_(-(scores.weight @ features.mean(0)))


def pooled(model: Any, maps: Any, boxes: list) -> Any:
    """What the box head makes of boxes, by detectron2's own parts."""
    heads = model.roi_heads
    if hasattr(heads, "res5"):
        return heads._shared_roi_transform([maps[name] for name in heads.in_features], boxes).mean((2, 3))
    return heads.box_head(heads.box_pooler([maps[name] for name in heads.box_in_features], boxes))


def compare(name: str, photos: list[np.ndarray], pixels: int, folder: Path) -> dict[str, Any]:
    """The backend, or bottom-up's own network, against detectron2's predictor."""
    import torch
    from detectron2 import model_zoo
    from detectron2.config import get_cfg
    from detectron2.engine import DefaultPredictor

    from features.detectors import DetectorOptions, detectron2_bottom_up, load_detector

    own = name == "bottom-up"
    cfg = get_cfg()
    detectron2_bottom_up.add_config(cfg)
    (folder / "vg.yaml").write_text(VISUAL_GENOME)
    cfg.merge_from_file(str(folder / "vg.yaml") if own else model_zoo.get_config_file(name), allow_unsafe=False)
    detectron2_bottom_up.choose_modules(cfg)
    cfg.MODEL.DEVICE, cfg.MODEL.WEIGHTS = "cpu", ""
    if pixels:
        cfg.INPUT.MIN_SIZE_TEST, cfg.INPUT.MAX_SIZE_TEST = pixels, round(pixels / 0.6)
    theirs = DefaultPredictor(cfg)

    def sees(photo: np.ndarray) -> dict[str, Any]:
        image = np.ascontiguousarray(photo[:, :, ::-1])
        image = theirs.aug.get_transform(image).apply_image(image)
        return {"image": torch.as_tensor(image.astype("float32").transpose(2, 0, 1)),
                "height": photo.shape[0], "width": photo.shape[1]}

    lively(theirs.model, photos[0], sees)
    path = folder / "weights.pth"
    torch.save({"model": theirs.model.state_dict()}, path)
    if own:
        detector = load_detector("bottom-up", DetectorOptions(
            weights=str(path), device="cpu", preset="predictor", score_threshold=0.2, nms=0.6))
        if pixels:
            detector.config = _sized(detector.config, pixels)
    else:
        (folder / "cfg.yaml").write_text(cfg.dump())
        detector = load_detector("detectron2", DetectorOptions(
            weights=str(path), config=str(folder / "cfg.yaml"), device="cpu"))
    worst = {"boxes, pixels": 0.0, "scores": 0.0, "features": 0.0}
    counts, largest = [], 0.0
    for photo, regions in zip(photos, detector.detect(photos), strict=True):
        expected = theirs(photo[:, :, ::-1])["instances"]
        assert len(regions) == len(expected) and (regions.classes == expected.pred_classes.numpy()).all(), name
        counts.append(len(regions))
        differences = {"boxes, pixels": regions.boxes - expected.pred_boxes.tensor.numpy(),
                       "scores": regions.class_scores - expected.scores.numpy()}
        if not own:  # bottom-up's features are those of the proposals, which the predictor does not tell
            one = sees(photo)
            boxes = type(expected.pred_boxes)(torch.from_numpy(regions.boxes.copy()))
            boxes.scale(one["image"].shape[2] / one["width"], one["image"].shape[1] / one["height"])
            with torch.no_grad():
                maps = theirs.model.backbone(theirs.model.preprocess_image([one]).tensor)
                differences["features"] = regions.features - pooled(theirs.model, maps, [boxes]).numpy()
        for kind, difference in differences.items():
            worst[kind] = max(worst[kind], float(np.abs(difference).max(initial=0)))
        largest = max(largest, float(regions.features.max(initial=0)))
    if own:
        del worst["features"]
    return {"largest difference": worst, "largest feature": round(largest, 3), "boxes": counts,
            "shorter side": cfg.INPUT.MIN_SIZE_TEST}


def _sized(config: Any, pixels: int) -> Any:
    from dataclasses import replace

    return replace(config, side=pixels, longest=round(pixels / 0.6))


def main(folder: str, pixels: int = 0) -> None:
    import torch

    from features.images import decode_image

    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    photos = [decode_image(path.read_bytes()) for path in sorted(Path(folder).glob("*.jpg"))[:10]]
    with tempfile.TemporaryDirectory() as name:
        result = {kind: compare(kind, photos, pixels, Path(name)) for kind in (*ZOO, "bottom-up")}
    out = Path(__file__).parent / "results" / "detector_parity.json"
    out.write_text(json.dumps(result, indent=1) + "\n")
    print(out.read_text(), end="")


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:3]))
