"""Trains a small joint encoder of looks and sentences, and measures it on looks that it has never seen.

    python recipes/train_small_joint.py --out small-joint.safetensors [--target demo-art] [--photographs 200]

Pairs are photographs of demo-art's training part under a filter or a plain change (darker, bluer, blurred ...), with
sentences that say so. Filters that the target's test pictures are made with, and the words for them, are left out:
they are the unseen looks that retrieval is measured on, among their own sentences, on photographs of the test part.
What is printed is all one may say of the encoder. These are filtered photographs, not art.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from lvtune.domains import get_domain
from lvtune.domains.brushes import cells, daubs
from lvtune.domains.filters import apply_filter, list_filters
from lvtune.language.prompts import HUMAN_ART, PHOTO
from lvtune.language.small_joint import SmallConfig, SmallEncoder, SmallJoint, save_small

Change = Callable[[np.ndarray, np.random.Generator], np.ndarray]
WAYS = ("{}", "{}, full body", "{} doing sports", "{} outdoors", "a picture: {}")
SIDE = 160


def _unit(change: Callable[[np.ndarray, np.random.Generator], np.ndarray]) -> Change:
    """A change of pictures on a 0 to 1 scale as one of bytes."""
    return lambda image, rng: (change(image.astype(np.float32) / 255, rng).clip(0, 1) * 255).round().astype(np.uint8)


def _tint(color: tuple[float, float, float]) -> Change:
    tone = np.array(color, np.float32)
    return _unit(lambda x, rng: x * (1 - (s := rng.uniform(0.4, 0.8))) + s * x.mean(-1, keepdims=True) * tone * 1.6)


def _edges(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    found = cv2.Canny(cv2.GaussianBlur(image, (0, 0), rng.uniform(0.8, 1.6)), 50, 130)
    return np.repeat(255 - found[..., None], 3, axis=2)


def _coarse(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    height, width = image.shape[:2]
    small = cv2.resize(
        image, (width // rng.integers(5, 10), height // rng.integers(5, 10)), interpolation=cv2.INTER_AREA
    )
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_NEAREST)


def _halftone(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    grey = cv2.GaussianBlur(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), (0, 0), 1).astype(np.float32) / 255
    y, x = np.mgrid[: grey.shape[0], : grey.shape[1]]
    pitch = rng.uniform(3, 5)
    screen = (np.cos(2 * np.pi * (x + y) / pitch) + np.cos(2 * np.pi * (x - y) / pitch)) / 4 + 0.5
    return np.repeat((255 * (grey > screen)).astype(np.uint8)[..., None], 3, axis=2)


def _grey(image: np.ndarray) -> np.ndarray:
    return np.repeat((image.astype(np.float32) @ [0.299, 0.587, 0.114])[..., None], 3, axis=2)


def _paper_cut(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.where(cv2.GaussianBlur(_grey(image), (0, 0), 2) > 110, 235, 20).astype(np.uint8)


LOOKS: dict[str, tuple[Change, tuple[str, ...]]] = {
    "photo": (lambda x, rng: x, (PHOTO, "a sharp photograph of a person")),
    "dark": (_unit(lambda x, rng: x * rng.uniform(0.15, 0.4)), ("a dark photo of a human", "a human at night")),
    "bright": (_unit(lambda x, rng: 0.45 + 0.6 * x), ("a very bright photo of a human", "an overexposed human")),
    "flat": (_unit(lambda x, rng: 0.5 + 0.25 * (x - 0.5)), ("a pale, faded photo of a human", "washed-out colours")),
    "harsh": (_unit(lambda x, rng: 0.5 + 2.5 * (x - 0.5)), ("a harsh photo of a human", "hard light and shadow")),
    "red": (_tint((1, 0.3, 0.3)), ("a reddish picture of a human", "a human in red light")),
    "green": (_tint((0.3, 1, 0.3)), ("a greenish picture of a human", "a human in green light")),
    "blue": (_tint((0.3, 0.45, 1)), ("a bluish picture of a human", "a human in blue light")),
    "sepia": (_tint((1, 0.8, 0.5)), ("an old sepia photo of a human", "a brownish old photograph")),
    "grey": (lambda x, rng: _grey(x).astype(np.uint8), ("a black and white photo of a human", "a grey human")),
    "negative": (lambda x, rng: 255 - x, ("a photographic negative of a human", "inverted colours")),
    "loud": (
        _unit(lambda x, rng: x.mean(-1, keepdims=True) + 2.5 * (x - x.mean(-1, keepdims=True))),
        ("a human in loud, glowing colours", "strong saturated colours"),
    ),
    "blurred": (
        lambda x, rng: cv2.GaussianBlur(x, (0, 0), rng.uniform(2, 4)),
        ("a blurred photo of a human", "a human out of focus"),
    ),
    "noisy": (
        _unit(lambda x, rng: x + rng.normal(0, 0.15, x.shape)),
        ("a grainy photo of a human", "a noisy photo of a human"),
    ),
    "blocks": (_coarse, ("a human made of coloured squares", "a pixelated picture of a human", "a mosaic of a human")),
    "steps": (
        lambda x, rng: (x // 85) * 85 + 42,
        ("flat areas of few colours showing a human", "a poster of a human"),
    ),
    "smooth": (
        lambda x, rng: cv2.bilateralFilter(x, 9, 90, 9),
        ("a soft, smooth picture of a human", "a human with smooth flat skin"),
    ),
    "lines": (_edges, ("thin black lines on white paper showing a human", "an outline of a human")),
    "dots": (_halftone, ("black dots on white paper showing a human", "a newspaper print of a human")),
    "silhouette": (_paper_cut, ("black and white areas showing a human", "a paper cut of a human")),
}
"""Name to a change of a photograph, and sentences that say it; changes of our own, beside the package's filters."""


def _pieces(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    label, count = cells(image, rng, rng.uniform(6, 12))
    area = np.maximum(np.bincount(label.ravel(), minlength=count), 1)
    return np.stack([np.bincount(label.ravel(), image[..., c].ravel(), count) / area for c in range(3)], -1)[
        label
    ].astype(np.uint8)


def _comic(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    flat = (cv2.medianBlur(image, 7) // 64) * 64 + 40
    lines = cv2.dilate(cv2.Canny(cv2.GaussianBlur(image, (0, 0), 1.5), 40, 110), np.ones((2, 2), np.uint8))
    return np.where(lines[..., None] > 0, 10, flat).astype(np.uint8)


def _pencil(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    grey = _grey(image)[..., 0]
    soft = cv2.GaussianBlur(255 - grey, (0, 0), rng.uniform(3, 6))
    return np.repeat((grey * 255 / (255 - soft).clip(1)).clip(0, 255)[..., None], 3, -1).astype(np.uint8)


def _brush(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    tone = cv2.GaussianBlur(_grey(image), (0, 0), 3)
    return np.select([tone < 70, tone < 115], [[25, 25, 30], [130, 128, 125]], [240, 232, 212]).astype(np.uint8)


def _wet(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    soft = cv2.GaussianBlur(cv2.medianBlur(image, 9), (0, 0), 1.5).astype(np.float32)
    return (250 - 0.55 * (250 - soft)).clip(0, 255).astype(np.uint8)


AKIN: dict[str, tuple[Change, tuple[str, ...]]] = {
    "pieces": (_pieces, ("a human made of pieces of coloured glass", "coloured stones showing a human")),
    "daubs": (lambda x, rng: daubs(x, 6), ("a human painted with a broad brush", "thick paint on canvas")),
    "wet": (_wet, ("a human painted with much water on paper", "pale washes of colour showing a human")),
    "pencil": (_pencil, ("a human drawn with a pencil", "pencil lines on paper showing a human")),
    "brush": (_brush, ("a human drawn with a brush in black", "a few black brush strokes on paper")),
    "comic": (_comic, ("a human in a comic strip", "flat colours with black outlines showing a human")),
}
"""Looks akin to those of demo-art, by other means and in other words: only with ``--akin``, and told in the report."""


def pictures(split: object, count: int, change: Callable[[np.ndarray, int], np.ndarray]) -> Tensor:
    """(count, 3, SIDE, SIDE) on a 0 to 1 scale of the first photographs of a split, changed."""
    made = [
        cv2.resize(change(split.table.picture(i), i), (SIDE, SIDE), interpolation=cv2.INTER_AREA) for i in range(count)
    ]
    return torch.from_numpy(np.stack(made)).permute(0, 3, 1, 2).float() / 255


def unseen_of(target: str) -> tuple[str, ...]:
    """Categories of the target; their filters and sentences are kept from training."""
    return tuple(get_domain(target).categories)


def collect(
    encoder: SmallEncoder, split: object, count: int, unseen: tuple[str, ...], changes: dict, *, say: Callable
) -> tuple[Tensor, list[Tensor], list[str]]:
    """Statistics of every picture and sentence: looks (L, count, image_dim), meanings by look, names."""
    looks, meanings, names = [], [], []
    seen = {name: (None, (HUMAN_ART[name],)) for name in list_filters() if name not in unseen and name in HUMAN_ART}
    for number, (name, (change, sentences)) in enumerate({**changes, **seen}.items()):
        draw = lambda image, i, name=name, change=change, number=number: (  # noqa: E731
            apply_filter(image, name, i) if change is None else change(image, np.random.default_rng([number, i]))
        )
        parts = pictures(split, count, draw).split(64)
        looks.append(torch.cat([encoder.looks(part) for part in parts]))
        meanings.append(encoder.meanings([way.format(text) for text in sentences for way in WAYS]))
        names.append(name)
        say(f"{name}: {count} pictures")
    return torch.stack(looks), meanings, names


def train(
    joint: SmallJoint, looks: Tensor, meanings: list[Tensor], *, steps: int, lr: float, seed: int, jitter: float
) -> float:
    """CLIP's loss on batches that hold each look several times; returns the last loss."""
    generator = torch.Generator().manual_seed(seed)
    joint.train().requires_grad_(True)
    optimizer = torch.optim.AdamW(joint.parameters(), lr=lr, weight_decay=0.1)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=steps)
    pick = lambda count, n: torch.randint(count, (n,), generator=generator)  # noqa: E731
    kinds = torch.arange(len(looks)).repeat_interleave(3)
    for _ in range(steps):
        images = looks[kinds, pick(looks.shape[1], len(kinds))]
        sentences = torch.stack([meanings[k][pick(len(meanings[k]), 1)[0]] for k in kinds.tolist()])
        # sentences and statistics are jittered: with so few looks the networks learn them by heart otherwise
        images = images + jitter * images.std(0) * torch.randn(images.shape, generator=generator)
        sentences = sentences + jitter * sentences.std(0) * torch.randn(sentences.shape, generator=generator)
        loss = joint.loss(images, sentences, kinds)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    joint.eval().requires_grad_(False)
    return loss.item()


def retrieval(encoder: SmallEncoder, looks: Tensor, sentences: list[str]) -> dict:
    """How often a picture's own sentence is the nearest, and a sentence's nearest pictures are its own.

    ``looks`` is (L, N, image_dim), ``sentences`` are L.
    """
    with torch.no_grad():
        seen = F.normalize(encoder.joint.image(looks.flatten(0, 1)), dim=-1)
        said = F.normalize(encoder.joint.text(encoder.meanings(sentences)), dim=-1)
    cosines = seen @ said.T
    truth = torch.arange(len(sentences)).repeat_interleave(looks.shape[1])
    right = (cosines.argmax(1) == truth).float().view(len(sentences), -1).mean(1)
    best = cosines.topk(looks.shape[1], dim=0).indices
    precision = (truth[best] == torch.arange(len(sentences))).float().mean(0)
    names = [f"{value:.2f}" for value in right.tolist()]
    return {
        "image_to_text": right.mean().item(), "text_to_image": precision.mean().item(),
        "chance": 1 / len(sentences), "by_look": dict(zip(sentences, names, strict=True)),
    }  # fmt: skip


def main() -> None:
    """Trains, measures, saves and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", default="small-joint.safetensors")
    parser.add_argument("--target", default="demo-art", help="domain whose filters and sentences are left out")
    parser.add_argument("--photographs", type=int, default=200)
    parser.add_argument("--test-photographs", type=int, default=60)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jitter", type=float, default=0.3, help="noise on statistics and sentences, in deviations")
    parser.add_argument("--akin", action="store_true", help="train on looks akin to the target's too")
    given = parser.parse_args()
    say = lambda text: print(text, file=sys.stderr, flush=True)  # noqa: E731
    started, unseen = time.perf_counter(), unseen_of(given.target)
    torch.manual_seed(given.seed)
    encoder = SmallEncoder(SmallJoint(SmallConfig()))
    source, test = (get_domain("demo-art").open_source(part) for part in ("train", "test"))
    looks, meanings, names = collect(encoder, source, given.photographs, unseen, say)
    loss = train(encoder.joint, looks[:, : -given.photographs // 5], meanings, given.steps, given.lr, given.seed)
    drawn = [
        pictures(test, given.test_photographs, lambda image, i, n=name: apply_filter(image, n, i)) for name in unseen
    ]
    new = torch.stack([encoder.looks(part) for part in drawn])
    held = looks[:, -given.photographs // 5 :]
    known = [(LOOKS[n][1][0] if n in LOOKS else HUMAN_ART[n]) for n in names]
    values = {
        "trained_on": names, "unseen": list(unseen), "akin": given.akin, "loss": loss,
        "known_looks": retrieval(encoder, held, known),
        "unseen_looks": retrieval(encoder, new, [HUMAN_ART[name] for name in unseen]),
        "seconds": round(time.perf_counter() - started, 1), "seed": given.seed,
    }  # fmt: skip
    about = {"report": json.dumps(values), "trained_on": ", ".join(names)}
    save_small(encoder.joint, Path(given.out), about)
    print(json.dumps(values, indent=1))


if __name__ == "__main__":
    main()
