"""Draws the map of features and the retrieval sheet of a source, a target and a joint encoder."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch.utils.data import DataLoader, Subset

from lvtune.api.job import objective_context
from lvtune.api.open_data import open_domain, source_training
from lvtune.api.recipe import Recipe
from lvtune.api.recipe_inputs import recipe_files
from lvtune.bases.base_registry import load_base
from lvtune.core.errors import UsageError
from lvtune.core.files import write_atomically
from lvtune.core.text import counted
from lvtune.core.work_progress import tracked
from lvtune.data.dataset import collate
from lvtune.evaluation.inference import split_dataset
from lvtune.language.grammars import draw
from lvtune.language.joint_choice import AUTO
from lvtune.language.joint_registry import unnormalised
from lvtune.storage.output_folder import check_output, input_folders
from lvtune.training.engine import resolve_device
from lvtune.training.joint_features import SentenceVectors
from lvtune.viz.language import cover, feature_map, ranked, retrieval_sheet

if TYPE_CHECKING:
    from lvtune.bases.base import Base
    from lvtune.language.joint_registry import JointEncoder

Say = Callable[[str], None]
LEAST_VECTORS = 5
"""Vectors that a map of features needs at least (:func:`lvtune.viz.language.feature_map`)."""
FILES = {"map": "feature-map.png", "retrieval": "retrieval.png"}


@dataclass(frozen=True)
class FigureOptions:
    """Options of ``lvtune figure``."""

    encoder: str = AUTO
    """Joint encoder of pictures and text: auto (small, which ships, or for a published base CLIP where it is at hand),
    clip or siglip (with :FOLDER or :owner/model for other weights), small or small:FILE."""
    grammar: str | None = None
    """Grammar of the sentences: a name or a YAML file. None: the domain's grammar."""
    w: float = 0.5
    """Weight of the picture's vector in the steered vector; 0.5 in the paper's figure."""
    count: int = 200
    """Number of pictures of the source, and of the target."""
    rows: int = 6
    """Rows of the figure retrieval."""
    columns: int = 7
    """Ranked pictures in a row."""
    words: str = "text"
    """text, or random: vectors without meaning in place of the sentences' vectors."""
    source_sentence: str | None = None
    """Sentence that describes the source's pictures. None: the source's own."""
    l2: bool = True
    """Scale vectors to length 1 before they are mixed."""


@dataclass(frozen=True)
class Looked:
    """N pictures and their vectors from a joint encoder."""

    vectors: np.ndarray
    """(N, D)."""
    pictures: list[np.ndarray]
    """(H, W, 3) uint8 each."""
    categories: list[str]


def look(data: Any, base: Base, encoder: JointEncoder, count: int, seed: int = 0) -> Looked:
    """Encodes ``count`` pictures of a data set, drawn by ``seed``, cropped as for ``base``."""
    chosen = np.sort(np.random.default_rng(seed).permutation(len(data))[:count])
    vectors, pictures, categories = [], [], []
    loader = DataLoader(Subset(data, chosen.tolist()), batch_size=32, collate_fn=collate)
    for batch in tracked(loader, "embedding pictures, 32 at a time", len(loader), "batches"):
        images = unnormalised(batch["pixel_values"].to(base.device), base.mean, base.std)
        vectors.append(encoder.encode_images(images).cpu().numpy())
        pictures += list((images * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy())
        categories += batch["category"]
    return Looked(np.concatenate(vectors), pictures, categories)


def language_figures(
    recipe: Recipe,
    options: FigureOptions | None = None,
    kinds: tuple[str, ...] = tuple(FILES),
    say: Say = lambda t: None,
) -> dict[str, Any]:
    """Draws figures into the recipe's folder.

    Args:
        recipe: base (whose crops are shown; its weights are not needed), domain and data.
        options: encoder and sentences.
        kinds: of ``map`` and ``retrieval``.
        say: called with what is being done.

    Returns:
        ``files`` and, with a map, ``cover``: mean cosine of the target's pictures to the nearest source picture, and
        to the nearest steered vector; ``encoder``, ``source_name``, ``target_name``, ``sentences``.

    Raises:
        LvtuneError: an unknown name; no source pictures; scikit-learn is missing (for the map).
    """
    options = options or FigureOptions()
    strange = [kind for kind in kinds if kind not in FILES]
    if strange:
        raise UsageError(f"figure '{strange[0]}'", f"one of {', '.join(FILES)}", f"type {next(iter(FILES))}")
    targets = [recipe.folder / FILES[kind] for kind in kinds]
    check_output(recipe.folder, targets, folders=input_folders(recipe.data), files=recipe_files(recipe))
    base = load_base(recipe.base, "random", seed=recipe.seed)
    base.model.to(resolve_device(recipe.device))
    domain = open_domain(recipe.domain, recipe.data)
    target = domain.open("test", recipe.data)
    source = source_training(domain, base.spec, recipe.data, target)
    context = objective_context(replace(recipe, text_only=True), base, domain, source)
    say(f"loading {options.encoder}")
    sentences = SentenceVectors.of(context, cast(Any, options))
    encoder = _encoder(sentences)
    say("encoding pictures")
    seen = look(split_dataset(base, source), base, encoder, options.count, recipe.seed)
    values: dict[str, Any] = {
        "encoder": encoder.name, "sentences": len(sentences), "w": options.w, "files": {},
        "source_name": source.name, "target_name": target.name,
    }  # fmt: skip
    drawn = {}
    if "map" in kinds:
        there = look(split_dataset(base, target), base, encoder, options.count, recipe.seed)
        drawn["map"], values["cover"] = _map(seen, there, sentences, options, recipe.seed)
    if "retrieval" in kinds:
        drawn["retrieval"] = _retrieval(seen, sentences, options, recipe.seed)
    for kind, picture in drawn.items():
        values["files"][kind] = str(_write(picture, recipe.folder / FILES[kind]))
    return values


def _encoder(sentences: SentenceVectors) -> JointEncoder:
    """The joint encoder of sentences that were embedded with pictures in mind.

    Raises:
        UsageError: they were not.
    """
    if sentences.encoder is None:
        raise UsageError("figures of random vectors", "sentences of a joint encoder", "leave --words out")
    return sentences.encoder


def steered(
    vectors: np.ndarray, sentences: SentenceVectors, options: FigureOptions, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the vectors (N, D) of w picture + (1 - w) sentence, and the index of each one's sentence."""
    chosen = draw(len(sentences), range(len(vectors)), 0, seed)
    seen, said = torch.from_numpy(vectors), sentences.rows(chosen)
    if options.l2:
        seen = torch.nn.functional.normalize(seen, dim=-1)
    return (options.w * seen + (1 - options.w) * said).numpy(), chosen


def _map(
    seen: Looked, there: Looked, sentences: SentenceVectors, options: FigureOptions, seed: int
) -> tuple[np.ndarray, dict[str, float]]:
    moved, _ = steered(seen.vectors, sentences, options, seed)
    groups = {"source pictures": seen.vectors, "source pictures, steered by sentences": moved}
    kinds = list(dict.fromkeys(there.categories))
    # more colours than these cannot be told apart in a legend
    for kind in kinds if len(kinds) <= 6 else [None]:
        mine = [kind is None or found == kind for found in there.categories]
        name = "target pictures" + (f": {kind.replace('_', ' ')}" if kind else "")
        groups[name] = there.vectors[mine]
    covered = {"by_source": cover(there.vectors, seen.vectors), "by_steered": cover(there.vectors, moved)}
    title = f"t-SNE of {_encoder(sentences).name}: steered = {options.w:g} picture + {1 - options.w:g} sentence"
    return feature_map(groups, title, seed), covered


def _retrieval(seen: Looked, sentences: SentenceVectors, options: FigureOptions, seed: int) -> np.ndarray:
    moved, chosen = steered(seen.vectors, sentences, options, seed)
    places = np.linspace(0, len(moved) - 1, min(options.rows, len(moved))).round().astype(int)
    order, cosines = ranked(moved[places], seen.vectors, places.tolist(), options.columns)
    texts = sentences.grammar.sentences()
    rows = [(int(p), texts[chosen[p]], order[i].tolist(), cosines[i].tolist()) for i, p in enumerate(places)]
    return retrieval_sheet(seen.pictures, rows)


def _write(picture: np.ndarray, file: Path) -> Path:
    import cv2

    return write_atomically(file, cv2.imencode(".png", picture[:, :, ::-1])[1].tobytes())


def _why_no_map(count: int) -> str:
    if importlib.util.find_spec("sklearn") is None:
        return 'a map of features needs scikit-learn: pip install "lvtune[figures]"'
    return (
        f"{counted(count, 'vector is', 'vectors are')} too few for a map of features" if count < LEAST_VECTORS else ""
    )


def figures_of_job(job: Any) -> list[tuple[str, np.ndarray]]:
    """Draws both figures of a run whose objective reads a joint encoder, for its report; [] for any other run.

    The map shows the target's pictures too, which the run itself has not seen. Without scikit-learn there is no map;
    the caption of the other figure says so.
    """
    sentences = getattr(job.objective, "sentences", None)
    if not isinstance(sentences, SentenceVectors) or sentences.encoder is None:
        return []
    options = FigureOptions(w=getattr(job.objective.config, "w", 0.5), count=100, rows=4, l2=job.objective.config.l2)
    data = {part: split_dataset(job.base, split) for part, split in (("train", job.train), ("test", job.test))}
    seen, there = (look(data[part], job.base, sentences.encoder, options.count, job.recipe.seed) for part in data)
    found = [("Training pictures ranked by a steered vector", _retrieval(seen, sentences, options, job.recipe.seed))]
    why = _why_no_map(len(there.vectors) + 2 * len(seen.vectors))
    if why:
        caption, sheet = found[0]
        return [(f"{caption} ({why})", sheet)]
    picture, covered = _map(seen, there, sentences, options, job.recipe.seed)
    near = f"nearest cosine {covered['by_source']:.3f} to the source, {covered['by_steered']:.3f} to the steered"
    return [(f"Features of training and test pictures; a test picture has its {near}", picture), *found]
