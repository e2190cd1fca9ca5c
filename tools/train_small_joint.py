"""Trains a small joint encoder of looks and sentences, and measures it on looks that it has never seen.

    python tools/train_small_joint.py --out small-joint.safetensors [--target demo-art] [--photographs 40]
    python tools/train_small_joint.py --target lsp-art --lspet LSPET/ --photographs 60 --embed --out \\
        lvtune/language/small_joint.safetensors                                       # the one that ships

Pairs are photographs (of demo-art's training part, or with ``--lspet`` LSPET's training part, which no domain tests on)
under a filter or a plain change (darker, bluer, blurred ...), with sentences that say so. Filters that the target's
test pictures are made with, and the words for them, are left out: they are the unseen looks that retrieval is measured
on, on photographs of the test part, among their own sentences ("a sketch of a human") and in plain words (grammar
``looks``: "grey pencil lines and hatching on white paper"). What is printed is all one may say of the encoder. These
are filtered photographs, not art. ``--embed`` stores the vectors of all sentences of the package's domains and
grammars, so that MiniLM is not needed for these.
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

from lvtune.data.skeletons import LSP_14
from lvtune.data.table import read_coco
from lvtune.domains import Split, get_domain
from lvtune.domains.brushes import cells, daubs
from lvtune.domains.filters import apply_filter
from lvtune.domains.source import source_split
from lvtune.language.grammars import list_grammars, load_grammar
from lvtune.language.look_statistics import SIDES
from lvtune.language.sentences import HUMAN_ART, PHOTO, PICTURE, SENTENCES
from lvtune.language.small_joint import SmallConfig, SmallEncoder, SmallJoint, save_small

Change = Callable[[np.ndarray, np.random.Generator], np.ndarray]
WAYS = ("{}", "a picture of a human in {}", "{}, showing a human", "a human doing sports in {}", "{}, outdoors")
MARGIN = 0.12
"""Widest black margin, as a share of the side: crops that a base sees reach beyond the photograph."""


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
    "photo": (lambda x, rng: x, ("natural colours", "a sharp photograph")),
    "dark": (_unit(lambda x, rng: x * rng.uniform(0.15, 0.4)), ("dark colours", "darkness, at night")),
    "bright": (_unit(lambda x, rng: 0.45 + 0.6 * x), ("very bright, light colours", "glaring white light")),
    "flat": (_unit(lambda x, rng: 0.5 + 0.25 * (x - 0.5)), ("pale, faded colours", "weak, washed-out colours")),
    "harsh": (_unit(lambda x, rng: 0.5 + 2.5 * (x - 0.5)), ("hard contrasts", "hard light and deep black shadow")),
    "red": (_tint((1, 0.3, 0.3)), ("red colours", "warm reddish light")),
    "green": (_tint((0.3, 1, 0.3)), ("green colours", "greenish light")),
    "blue": (_tint((0.3, 0.45, 1)), ("blue colours", "cold bluish light")),
    "sepia": (_tint((1, 0.8, 0.5)), ("brown and cream colours", "old sepia tones")),
    "grey": (lambda x, rng: _grey(x).astype(np.uint8), ("grey, without colour", "black, grey and white tones")),
    "negative": (lambda x, rng: 255 - x, ("inverted colours", "a photographic negative")),
    "loud": (
        _unit(lambda x, rng: x.mean(-1, keepdims=True) + 2.5 * (x - x.mean(-1, keepdims=True))),
        ("loud, glowing colours", "strong, saturated colours"),
    ),
    "blurred": (
        lambda x, rng: cv2.GaussianBlur(x, (0, 0), rng.uniform(2, 4)),
        ("soft, blurred shapes", "shapes out of focus, without detail"),
    ),
    "noisy": (_unit(lambda x, rng: x + rng.normal(0, 0.15, x.shape)), ("grain and noise", "a rough, grainy surface")),
    "blocks": (_coarse, ("coarse squares of colour", "large square pixels")),
    "steps": (lambda x, rng: (x // 85) * 85 + 42, ("flat areas of few colours", "flat, stepped tones")),
    "smooth": (lambda x, rng: cv2.bilateralFilter(x, 9, 90, 9), ("smooth, even areas", "smooth colours without grain")),
    "lines": (_edges, ("thin black lines on white paper", "an outline drawn on white")),
    "dots": (_halftone, ("black dots on white paper", "the dots of a printed newspaper")),
    "silhouette": (_paper_cut, ("black and white areas", "a black paper cut on white")),
}
"""Name to a change of a photograph, and words for it; changes of our own, beside the package's filters."""

FILTERS = {
    "mural": ("earth colours with drawn contours on cracked plaster", "a mural of a human"),
    "ukiyoe": ("flat colours with thin contours, a print from wood", "a ukiyo-e woodblock print of a human"),
    "kids_drawing": ("crude coloured strokes on white paper", "a kid's drawing of a human"),
    "shadow_play": ("a dark silhouette in front of warm light", "a scene of shadow play with a human"),
    "relief": ("grey carved stone, lit from the side", "a relief carving of a human"),
    "sculpture": ("smooth white marble", "a sculpture of a human"),
    "digital_art": ("smooth, glowing colours with soft light", "a piece of digital art showing a human"),
    "garage_kits": ("shiny plastic in bright paint", "a garage kit figure of a human"),
}
"""Filters of the package to words for them; those of the target are left out."""


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
    "pieces": (_pieces, ("pieces of coloured glass", "a mosaic of coloured stones")),
    "daubs": (lambda x, rng: daubs(x, 6), ("broad strokes of thick paint", "paint on canvas")),
    "wet": (_wet, ("wet paint on paper", "pale washes of colour")),
    "pencil": (_pencil, ("pencil lines on paper", "a human drawn with a pencil")),
    "brush": (_brush, ("a brush in black", "a few black brush strokes on paper")),
    "comic": (_comic, ("a comic strip", "flat colours with black outlines")),
}
"""Looks akin to those of demo-art, by other means and in other words: only with ``--akin``, and told in the report."""


def paired(changes: dict, count: int, seed: int) -> dict[str, tuple[Change, tuple[str, ...]]]:
    """``count`` pairs of changes, one after the other, and their words side by side."""
    rng, names, made = np.random.default_rng(seed), [n for n in changes if n != "photo"], {}
    while len(made) < count:
        a, b = (names[i] for i in rng.permutation(len(names))[:2])
        both = lambda x, rng, a=a, b=b: changes[b][0](np.ascontiguousarray(changes[a][0](x, rng)), rng)  # noqa: E731
        made[f"{a}+{b}"] = (both, tuple(f"{one}, {other}" for one in changes[a][1] for other in changes[b][1]))
    return made


def pictures(split: object, count: int, change: Callable[[np.ndarray, int], np.ndarray]) -> Tensor:
    """(count, 3, *SIDES) on a 0 to 1 scale of the first photographs of a split, changed; every second has margins."""
    made = [_sized(change(split.table.picture(i), i), i) for i in range(count)]
    return torch.from_numpy(np.stack(made)).permute(0, 3, 1, 2).float() / 255


def _sized(image: np.ndarray, i: int) -> np.ndarray:
    if i % 2:
        wide = np.random.default_rng([7, i]).uniform(0, MARGIN, 4) * np.repeat(image.shape[:2], 2)
        top, bottom, left, right = wide.astype(int).tolist()
        image = cv2.copyMakeBorder(image, top, bottom, left, right, cv2.BORDER_CONSTANT)
    return cv2.resize(image, SIDES[::-1], interpolation=cv2.INTER_AREA)


def lspet_split(folder: str) -> Split:
    """The training photographs of a copy of LSPET in COCO's layout."""
    root = Path(folder)
    table = read_coco(root / "annotations" / "train.json", root / "images", skeleton=LSP_14, published=True)
    return Split(table, f"{len(table)} training photographs of LSPET")


def unseen_of(target: str) -> tuple[str, ...]:
    """Categories of the target; their filters and sentences are kept from training."""
    return tuple(get_domain(target).categories)


def collect(
    encoder: SmallEncoder, split: object, count: int, unseen: tuple[str, ...], changes: dict, *, say: Callable
) -> tuple[Tensor, list[Tensor], list[str]]:
    """Statistics of every picture and sentence: looks (L, count, image_dim), meanings by look, names."""
    looks, meanings, names = [], [], []
    seen = {name: (None, words) for name, words in FILTERS.items() if name not in unseen}
    for number, (name, (change, sentences)) in enumerate({**changes, **seen}.items()):
        draw = lambda image, i, name=name, change=change, number=number: (  # noqa: E731
            apply_filter(image, name, i) if change is None else change(image, np.random.default_rng([number, i]))
        )
        parts = pictures(split, count, draw).split(64)
        looks.append(torch.cat([encoder.looks(part) for part in parts]))
        own = [PHOTO] if name == "photo" else []
        meanings.append(encoder.meanings([*own, *(way.format(text) for text in sentences for way in WAYS)]))
        names.append(name)
        say(f"{name}: {count} pictures")
    return torch.stack(looks), meanings, names


def train(
    joint: SmallJoint, looks: Tensor, meanings: list[Tensor], *, steps: int, lr: float, seed: int, jitter: float
) -> float:
    """CLIP's loss on batches that hold each look several times; returns the last loss."""
    generator = torch.Generator().manual_seed(seed)
    joint.standardise(looks.flatten(0, 1))
    joint.train().requires_grad_(True)
    optimizer = torch.optim.AdamW(joint.parameters(), lr=lr, weight_decay=0.1)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=steps)
    pick = lambda count, n: torch.randint(count, (n,), generator=generator)  # noqa: E731
    kinds = torch.arange(len(looks)).repeat_interleave(2)
    for _ in range(steps):
        images = looks[kinds, pick(looks.shape[1], len(kinds))]
        sentences = torch.stack([meanings[k][pick(len(meanings[k]), 1)[0]] for k in kinds.tolist()])
        # sentences and statistics are jittered: with so few looks the networks learn them by heart otherwise
        images = images + jitter * joint.std * torch.randn(images.shape, generator=generator)
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
        seen = encoder.joint.see(looks.flatten(0, 1))
        said = encoder.joint.read(encoder.meanings(sentences))
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


def package_sentences() -> list[str]:
    """All sentences of the package's domains and grammars, each once."""
    of_domains = [sentence for name in SENTENCES.names() for sentence in SENTENCES.get(name).values()]
    of_grammars = [sentence for name in list_grammars() for sentence in load_grammar(name).sentences()]
    return list(dict.fromkeys([PHOTO, PICTURE, *of_domains, *of_grammars]))


def main() -> None:
    """Trains, measures, saves and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", default="small-joint.safetensors")
    parser.add_argument("--target", default="demo-art", help="domain whose filters and sentences are left out")
    parser.add_argument("--photographs", type=int, default=40)
    parser.add_argument("--lspet", metavar="FOLDER", help="copy of LSPET whose training photographs are taken")
    parser.add_argument("--test-photographs", type=int, default=60)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jitter", type=float, default=0.5, help="noise on statistics and sentences, in deviations")
    parser.add_argument("--pairs", type=int, default=60, help="looks made of two changes")
    parser.add_argument("--akin", action="store_true", help="train on looks akin to the target's too")
    parser.add_argument("--embed", action="store_true", help="store the vectors of the package's sentences")
    given = parser.parse_args()
    say = lambda text: print(text, file=sys.stderr, flush=True)  # noqa: E731
    started, unseen = time.perf_counter(), unseen_of(given.target)
    torch.manual_seed(given.seed)
    encoder = SmallEncoder(SmallJoint(SmallConfig()))
    source, test = (source_split(get_domain("demo-art"), part) for part in ("train", "test"))
    source = lspet_split(given.lspet) if given.lspet else source
    changes = {**LOOKS, **(AKIN if given.akin else {})}
    changes |= paired(changes, given.pairs, given.seed)
    looks, meanings, names = collect(encoder, source, given.photographs, unseen, changes, say=say)
    kept = given.photographs - given.photographs // 5
    how = {"steps": given.steps, "lr": given.lr, "seed": given.seed, "jitter": given.jitter}
    loss = train(encoder.joint, looks[:, :kept], meanings, **how)
    drawn = (
        pictures(test, given.test_photographs, lambda image, i, n=name: apply_filter(image, n, i)) for name in unseen
    )
    new = torch.stack([encoder.looks(part) for part in drawn])
    known = [(changes[n] if n in changes else (None, FILTERS[n]))[1][0] for n in names]
    plain_words = load_grammar("looks").slots["category"]
    described = [i for i, name in enumerate(unseen) if name in plain_words]
    values = {
        "trained_on": names, "unseen": list(unseen), "akin": given.akin, "loss": loss,
        "photographs": f"{kept} of: {source.name} (LSPET)",
        "known_looks": retrieval(encoder, looks[:, kept:], known),
        "unseen_looks": retrieval(encoder, new, [HUMAN_ART[name] for name in unseen]),
        "unseen_looks_in_plain_words": retrieval(encoder, new[described], [plain_words[unseen[i]] for i in described]),
        "seconds": round(time.perf_counter() - started, 1), "seed": given.seed,
    }  # fmt: skip
    about = {"report": json.dumps(values), "trained_on": ", ".join(names)}
    known = package_sentences() if given.embed else []
    told = SmallEncoder(encoder.joint, known=(known, encoder.encode_text(known)))
    save_small(encoder.joint, Path(given.out), about, told)
    print(json.dumps(values, indent=1))


if __name__ == "__main__":
    main()
