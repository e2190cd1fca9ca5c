"""Does an adapter follow the sentence? Each picture has four kinds of labels; only the sentence names the kind.

    python benchmarks/conflicting_labels.py --data LSPET/ [--steps 150] [--seeds 0,1,2] [--rows control,light,...]

LSPET/ holds annotations/train.json, annotations/test.json and images/. Every photograph is labelled under four
conventions: as it is; with the top of the head at the neck; with the wrists at the elbows; with left and right
exchanged. Each convention is a category with one sentence. Tunes each row on the training photographs under all four,
and asks for each on test photographs. Prints the percentage of answers that are nearer to the requested convention than
to the other one, with 95 % intervals over the seeds:

- own: the convention's own sentence. shuffled: the sentences, permuted over the samples (chance is 50).
- new words: five other wordings, embedded by MiniLM, that tuning has not seen. Another column counts how many of them
  MiniLM itself puts nearest to the tuned sentence of the same convention.

The reference is the base's own answer to the picture, changed by the convention's rule. So a wrong pose does not count
as a wrong convention. "By labels" compares with the annotated points. There the base's own errors count, and the row
"rule" (the base's answers, changed by the rule itself) is the best possible result. Finished runs are read from OUT and
do not run again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F
from torch.utils.data import DataLoader, Subset

from lvtune.api.job import Job, prepare, training_data
from lvtune.api.recipe import Recipe
from lvtune.data.dataset import collate
from lvtune.evaluation.inference import predict_heatmaps, split_dataset
from lvtune.evaluation.intervals import spread_of
from lvtune.export.own_sentence import reading_more
from lvtune.language.distinct import distinct
from lvtune.patcher.attaching import attach
from lvtune.training.loop import tune

BEGIN, BEGIN_NEW = "a photo of a human, ", "an annotated photograph of somebody, "
WORDS = {
    "labelled": (
        "every point on its own joint", "each joint marked where it is", "all key points at their true places",
        "the points where their names say", "ankles, wrists, neck and head at their own places", "no point moved",
    ),
    "neck": (
        "the top of the head marked at the neck", "the head point at the neck",
        "the head labelled at the base of the neck", "the head's point lowered to the neck",
        "the neck in place of the head top", "the crown of the head moved down to the neck",
    ),
    "mirrored": (
        "left and right as the viewer sees them", "the sides named from the viewer's point of view",
        "left and right swapped as in a mirror", "left and right exchanged",
        "the left side called right and the right side left", "sides as the spectator has them, right for left",
    ),
    "elbow": (
        "the wrists marked at the elbows", "the hands put on the elbows", "the wrist labels placed at the elbow joints",
        "the wrist points moved up the arm to the elbows", "elbows in place of wrists",
        "arms that end at the elbow, wrists marked there",
    ),
}  # fmt: skip
"""Convention to wordings: the first is tuned with, the others are asked with. None was changed or left out
after its score was seen."""
PLAIN, *OTHERS = WORDS
MIN_GAP = 0.2
"""Of the torso's length: where two conventions lie nearer to each other, a picture does not count."""
PUBLISHED = {"predictor_reads": False, "sentence_dropout": 0.5}
CONFLICT = {"predictor_reads": True, "sentence_dropout": 0.0}
ROWS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "control": ("`lora`, which reads nothing", "lora", {"r": 8, "targets": ["query", "key", "value", "out"]}),
    "light": ("`vlpose-light` for conflicting labels", "vlpose-light", CONFLICT),
    "vlpose": ("`vlpose` for conflicting labels", "vlpose", CONFLICT),
    "light-plain": ("`vlpose-light` without", "vlpose-light", PUBLISHED),
    "vlpose-plain": ("`vlpose` without", "vlpose", PUBLISHED),
}


def convert(points: np.ndarray, convention: str, names: list[str]) -> np.ndarray:
    """Returns key points (K, ...) as a convention has them."""
    place = {name: i for i, name in enumerate(names)}
    source = list(range(len(names)))
    if convention == "neck":
        source[place["head_top"]] = place["neck"]
    elif convention == "elbow":
        for side in ("left", "right"):
            source[place[f"{side}_wrist"]] = place[f"{side}_elbow"]
    elif convention == "mirrored":
        swap = {"left": "right", "right": "left"}
        source = [place["_".join(swap.get(part, part) for part in name.split("_"))] for name in names]
    return points[source]


def write_part(data: Path, part: str, count: int, out: Path) -> None:
    """Writes the first ``count`` photographs of a part as a COCO file with a category for each convention."""
    table = json.loads((data / "annotations" / f"{part}.json").read_text())
    kind = table["categories"][0]
    images = table["images"][:count]
    known, notes = {image["id"] for image in images}, []
    for note in (note for note in table["annotations"] if note["image_id"] in known):
        for number, convention in enumerate(WORDS, start=1):
            points = convert(np.array(note["keypoints"], float).reshape(-1, 3), convention, kind["keypoints"])
            notes.append({
                **note, "id": len(notes) + 1, "category_id": number, "keypoints": points.ravel().tolist(),
                "num_keypoints": int((points[:, 2] > 0).sum()),
            })  # fmt: skip
    kinds = [{**kind, "id": number, "name": convention} for number, convention in enumerate(WORDS, start=1)]
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{part}.json").write_text(json.dumps({"images": images, "annotations": notes, "categories": kinds}))


@dataclass(frozen=True)
class Answers:
    """Key points of N photographs under each of four conventions, (N, K, 2) in input pixels, and (N, K) visibility."""

    points: dict[str, np.ndarray]
    visible: dict[str, np.ndarray]

    def follows(self, answer: np.ndarray, asked: str, other: str, torso: np.ndarray) -> np.ndarray:
        """Returns 1 where an answer (N, K, 2) is nearer to ``asked`` than to ``other``, else 0; NaN: does not count."""
        gap = np.linalg.norm(self.points[asked] - self.points[other], axis=-1)  # (N, K)
        used = (gap > 1e-3) & (self.visible[asked] > 0) & (self.visible[other] > 0)
        mean = lambda values: np.where(used, values, 0).sum(1) / np.maximum(used.sum(1), 1)  # noqa: E731
        near, far = (mean(np.linalg.norm(answer - self.points[name], axis=-1)) for name in (asked, other))
        return np.where(mean(gap) > MIN_GAP * torso, (near < far) * 1.0 + (near == far) * 0.5, np.nan)

    def obeyed(self, of: Callable[[str], np.ndarray], torso: np.ndarray) -> float:
        """Returns the share of answers that follow, in percent; of two conventions, each is asked for as often.

        Args:
            of: the answers (N, K, 2) where a convention was asked for.
            torso: (N,) lengths in pixels.
        """
        pairs = [pair for other in OTHERS for pair in ((PLAIN, other), (other, PLAIN))]
        return 100 * float(np.mean([np.nanmean(self.follows(of(asked), asked, o, torso)) for asked, o in pairs]))


def predict(job: Job, adapter: Any, category: str | None, data: Any) -> np.ndarray:
    """Returns key points (N, K, 2) in input pixels of each photograph once; ``adapter`` None: the base alone."""
    points = []
    once = Subset(data, range(0, len(data), len(WORDS)))
    for batch in DataLoader(once, batch_size=64, collate_fn=collate):
        options: dict[str, Any] = {"flip_test": False, "category": category}
        if adapter is None:
            maps = predict_heatmaps(job.base, batch["pixel_values"], flip_test=False)
        else:
            with attach(job.base, adapter, name="asked"):
                maps = predict_heatmaps(job.base, batch["pixel_values"], **options)
        points.append(job.base.codec.decode(maps.float())[0].numpy())
    return np.concatenate(points)


def shuffled(own: dict[str, np.ndarray], seed: int) -> dict[str, np.ndarray]:
    """Returns the answers where each sample reads another sample's sentence; conventions as often as before."""
    count = len(own[PLAIN])
    told = np.repeat(np.arange(len(WORDS)), count)
    told = told[np.random.default_rng(seed).permutation(len(told))].reshape(len(WORDS), count)
    stacked = np.stack(list(own.values()))  # (conventions, N, K, 2)
    return {name: stacked[told[i], np.arange(count)] for i, name in enumerate(WORDS)}


def scores(job: Job, seed: int) -> dict[str, float]:
    """Returns what the table says of one tuned adapter."""
    names, data = list(job.base.skeleton.keypoints), split_dataset(job.base, job.test)
    samples = [data[i] for i in range(len(data))]
    step = {name: samples[i :: len(WORDS)] for i, name in enumerate(sorted_as_read(samples))}
    labels = Answers({name: np.stack([s["keypoints"].numpy() for s in some]) for name, some in step.items()},
                     {name: np.stack([s["visible"].numpy() for s in some]) for name, some in step.items()})  # fmt: skip
    alone = predict(job, None, None, data)
    rule = {name: np.stack([convert(one, name, names) for one in alone]) for name in WORDS}
    asked = Answers(rule, {name: np.ones(alone.shape[:2]) for name in WORDS})
    ends = [names.index(name) for name in ("left_shoulder", "right_hip")]
    torso = np.linalg.norm(labels.points[PLAIN][:, ends[0]] - labels.points[PLAIN][:, ends[1]], axis=-1)
    reads = job.adapter.bank is not None
    own = {name: predict(job, job.adapter, name if reads else None, data) for name in WORDS}
    found = {
        "weights": sum(p.numel() for p in job.adapter.parameters() if p.requires_grad),
        "own": asked.obeyed(own.__getitem__, torso),
        "shuffled": asked.obeyed(shuffled(own, seed).__getitem__, torso),
        "own, by labels": labels.obeyed(own.__getitem__, torso),
        "rule, by labels": labels.obeyed(rule.__getitem__, torso),
    }
    for name in OTHERS:
        both = [asked.follows(own[a], a, b, torso) for a, b in ((PLAIN, name), (name, PLAIN))]
        found[f"own, {name}"] = 100 * float(np.mean([np.nanmean(one) for one in both]))
    return found | (new_words(job, asked, torso, data) if reads else {})


def sorted_as_read(samples: list[dict[str, Any]]) -> list[str]:
    """Returns the conventions in the order of the samples of one photograph."""
    order = [sample["category"] for sample in samples[: len(WORDS)]]
    assert sorted(order) == sorted(WORDS), order
    return order


def new_words(job: Job, asked: Answers, torso: np.ndarray, data: Any) -> dict[str, float]:
    """Returns how often other wordings are followed, and how many MiniLM itself puts nearest to the right sentence."""
    count = len(WORDS[PLAIN])
    new = {f"{name}-{i}": BEGIN_NEW + WORDS[name][i] for name in WORDS for i in range(1, count)}
    wider = reading_more(job.base, job.adapter, new)
    assert wider.bank is not None
    rows = dict(zip(wider.bank.categories, distinct(wider.bank), strict=False))
    tuned = torch.stack([rows[name] for name in WORDS])
    nearest = {key: int(F.cosine_similarity(rows[key][None], tuned).argmax()) for key in new}
    right = [list(WORDS)[nearest[f"{name}-{i}"]] == name for name in WORDS for i in range(1, count)]
    said = {key: predict(job, wider, key, data) for key in new}
    ways = [asked.obeyed(lambda name, i=i: said[f"{name}-{i}"], torso) for i in range(1, count)]
    understood = [
        float(np.nanmean(asked.follows(said[f"{name}-{i}"], name, other, torso)))
        for name in WORDS for i in range(1, count) if list(WORDS)[nearest[f"{name}-{i}"]] == name
        for other in (OTHERS if name == PLAIN else [PLAIN])
    ]  # fmt: skip
    return {"new words": float(np.mean(ways)), "new words, worst": float(min(ways)),
            "new words that MiniLM has right": 100 * float(np.mean(understood)),
            "MiniLM has right": 100 * float(np.mean(right))}  # fmt: skip


def run(row: str, seed: int, args: argparse.Namespace) -> dict[str, float]:
    """Tunes and scores one row under one seed, or reads what was run before."""
    _, method, options = ROWS[row]
    key = json.dumps([row, options, seed, args.steps, args.photographs, str(args.data), WORDS], sort_keys=True)
    file = args.out / f"{row}-{seed}-{hashlib.sha256(key.encode()).hexdigest()[:10]}.json"
    if file.is_file():
        return json.loads(file.read_text())
    sentences = {name: BEGIN + words[0] for name, words in WORDS.items()}
    language = {} if method == "lora" else {"language": {"sentences": sentences}}
    recipe = Recipe.from_dict({
        "method": method, "method_options": options, "start": "none", "seed": seed, "out": str(args.out), **language,
        "data": {"data": str(args.data / "images"), "annotations": str(args.out / "annotations")},
        "train": {"steps": args.steps, "batch_size": 16},
    })  # fmt: skip
    job = prepare(recipe)
    history = tune(job.base, job.adapter, training_data(job), job.objective, job.options, seed=seed)
    found = scores(job, seed) | {"loss": float(np.mean(history.loss[-20:]))}
    file.write_text(json.dumps(found))
    return found


def cell(runs: list[dict[str, float]], name: str) -> str:
    """Mean and 95 % interval over the seeds."""
    found = spread_of([one.get(name) for one in runs])
    if found is None:
        return "–"
    return f"{found.mean:.1f}" + ("" if found.half is None else f" ± {found.half:.1f}")


def main() -> None:
    """Runs what has not been run and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder LSPET/")
    parser.add_argument("--out", type=Path, default=Path("lvtune-out/conflicting-labels"))
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--rows", default=",".join(ROWS))
    parser.add_argument("--photographs", default="800,120", help="to tune and to test on")
    args = parser.parse_args()
    for part, count in zip(("train", "test"), args.photographs.split(","), strict=True):
        write_part(args.data, part, int(count), args.out / "annotations")
    columns = ("own", "shuffled", "new words", "new words that MiniLM has right", "own, by labels",
               *(f"own, {name}" for name in OTHERS))  # fmt: skip
    print(f"| row | weights | {' | '.join(columns)} |\n|---|---:|{'---|' * len(columns)}")
    for row in args.rows.split(","):
        runs = [run(row, int(seed), args) for seed in args.seeds.split(",")]
        cells = [cell(runs, name) for name in columns]
        print(f"| {ROWS[row][0]} | {int(runs[0]['weights']):,} | {' | '.join(cells)} |", flush=True)
        print(f"  ({row}: rule, by labels {cell(runs, 'rule, by labels')}; MiniLM has right "
              f"{cell(runs, 'MiniLM has right')}; loss {runs[0]['loss']:.2e})", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
