"""Loads detectors of transformers from a folder or the Hub, and turns what they give into boxes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lvtune.core.errors import LvtuneError, NetworkError, UsageError
from lvtune.core.hub_limits import hub_limits
from lvtune.core.network import why_unreachable
from lvtune.language.encoders import quiet
from lvtune.prediction.finder import Found
from lvtune.prediction.frames import Size

DETECTOR = "PekingU/rtdetr_v2_r18vd"
"""RT-DETR v2 with a ResNet-18, Apache 2.0; 80 classes of COCO."""
WORD_DETECTOR = "google/owlv2-base-patch16-ensemble"
"""OWLv2, Apache 2.0; Minderer et al., Scaling Open-Vocabulary Object Detection, NeurIPS 2023, arXiv 2306.09683."""
THRESHOLD, WORD_THRESHOLD = 0.3, 0.2
_WITHOUT = "--find pose and --find whole need no other model"


def load_detector(source: str, device: Any) -> tuple[Any, Any]:
    """Loads a detector of fixed classes, and its picture processor.

    Raises:
        LvtuneError: it cannot be had, or is another kind of model.
    """
    import transformers

    wanted = "an object detector as transformers saves it, such as RT-DETR, in a folder or on the Hub"
    model, processor = _load(
        source, transformers.AutoModelForObjectDetection, transformers.AutoImageProcessor, wanted, device
    )
    if not hasattr(processor, "post_process_object_detection"):
        raise UsageError(f"{source}, whose processor {type(processor).__name__} gives no boxes", wanted, _fix(source))
    return model, processor


def load_word_detector(source: str, device: Any) -> tuple[Any, Any]:
    """Loads a detector that reads words, and its processor of pictures and words.

    Raises:
        LvtuneError: it cannot be had, or is another kind of model.
    """
    import transformers

    wanted = "a zero-shot object detector as transformers saves it, such as OWLv2, in a folder or on the Hub"
    model, processor = _load(
        source, transformers.AutoModelForZeroShotObjectDetection, transformers.AutoProcessor, wanted, device
    )
    if not hasattr(processor, "post_process_grounded_object_detection"):
        raise UsageError(f"{source}, whose processor {type(processor).__name__} gives no boxes", wanted, _fix(source))
    return model, processor


def _load(source: str, kind: Any, processor_kind: Any, wanted: str, device: Any) -> tuple[Any, Any]:
    if not Path(source).is_dir() and (Path(source).is_absolute() or source.startswith((".", "~"))):
        raise UsageError(f"no folder {source} with a detector", wanted, "check the path (--detector FOLDER)")
    why = why_unreachable(source)
    local: dict[str, Any] = {"local_files_only": why is not None, "trust_remote_code": False}
    with quiet():
        try:
            with hub_limits(source):
                model, report = kind.from_pretrained(
                    source, dtype="float32", use_safetensors=True, output_loading_info=True, **local
                )
                processor = processor_kind.from_pretrained(source, **local)
        except LvtuneError:
            raise
        except (OSError, ValueError, KeyError, RuntimeError, ImportError, TypeError) as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
            fault = NetworkError if why else UsageError
            raise fault(f"detector {source}: {why or reason}", wanted, _fix(source)) from None
    if report["missing_keys"]:
        raise UsageError(
            f"detector {source} without {len(report['missing_keys'])} of its weights, such as "
            f"{sorted(report['missing_keys'])[0]}", wanted, _fix(source),
        )  # fmt: skip
    return model.eval().requires_grad_(False).to(device), processor


def _fix(source: str) -> str:
    if Path(source).is_dir():
        return f"choose another with --detector; {_WITHOUT}"
    return f"go online once, or download {source} and give --detector FOLDER; {_WITHOUT}"


def checked_boxes(
    corners: np.ndarray, scores: np.ndarray, labels: Sequence[str], size: Size | None, most_overlap: float
) -> Found:
    """Returns a detector's boxes of one frame: inside it, with an area, each object once, the surest first.

    Args:
        corners: (M, 4) left, top, right, bottom in pixels.
        scores: (M,).
        labels: (M,) words for the classes.
        size: of the frame.
        most_overlap: of two boxes whose intersection over union is larger, the surer one stays; 1 keeps all.
    """
    from torchvision.ops import nms

    assert size is not None
    limit = np.array([*size, *size], float)
    corners = np.clip(np.asarray(corners, float).reshape(-1, 4), 0, limit)
    sound = np.isfinite(corners).all(1) & (corners[:, 2:] - corners[:, :2] >= 1).all(1) & np.isfinite(scores)
    places = np.flatnonzero(sound)
    kept = nms(torch.from_numpy(corners[places]), torch.from_numpy(np.asarray(scores, float)[places]), most_overlap)
    places = places[kept.numpy()]
    boxes = np.concatenate([corners[places, :2], corners[places, 2:] - corners[places, :2]], 1)
    return Found(boxes, np.asarray(scores, float)[places], labels=tuple(str(labels[i]) for i in places.tolist()))
