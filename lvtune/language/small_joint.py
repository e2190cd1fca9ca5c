"""``small``: a small joint encoder of the look of pictures, which ships with the package; for use without CLIP.

A picture is described by statistics of its colours and textures (:mod:`lvtune.language.look_statistics`), so no weights
of any base are in it. A sentence is described by the mean of MiniLM's token states. A small network on each side maps
both into one space. The networks are trained with CLIP's loss (arXiv 2103.00020) on filtered photographs and sentences
about their look. The sentences of the package's domains and grammars are embedded in the file; MiniLM is needed for
others alone. The encoder knows the looks that it was trained on and little else (its card: ``small_joint.md``); measure
its retrieval on unseen looks before you rely on it (``tools/train_small_joint.py`` does). ``small:FILE`` takes another
file.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_safetensors
from torch import Tensor, nn
from torch.nn import functional as F

from lvtune.core.errors import DataError, UsageError
from lvtune.core.files import write_atomically
from lvtune.core.tensor_file import hash_tensors
from lvtune.language.joint_registry import register_joint_encoder, weights_key
from lvtune.language.look_statistics import STATISTICS, look_statistics

if TYPE_CHECKING:
    from lvtune.language.encoders import TextEncoder

FARTHEST = 2.0
"""Deviations beyond which a statistic says no more."""
_AT_ONCE = 64
_VECTORS = "sentence_vectors"


SHIPPED = Path(__file__).with_suffix(".safetensors")
"""The file that ships; its card lies beside it."""


@dataclass(frozen=True)
class SmallConfig:
    """Sizes and sources of the two sides."""

    text: str = "minilm"
    """Frozen text encoder."""
    text_dim: int = 384
    """Width of its token states."""
    image_dim: int = STATISTICS
    """Number of statistics of a picture."""
    hidden: int = 256
    """Width of the networks' hidden layer."""
    dim: int = 128
    """D, the width of the joint space."""


class SmallJoint(nn.Module):
    """The trained part: it maps statistics of pictures and of sentences into one space.

    Args:
        config: sizes.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, config: SmallConfig) -> None:
        super().__init__()
        self.config = config
        side = lambda inputs: nn.Sequential(  # noqa: E731
            nn.LayerNorm(inputs), nn.Linear(inputs, config.hidden), nn.GELU(), nn.Linear(config.hidden, config.dim)
        )
        self.image, self.text = side(config.image_dim), side(config.text_dim)
        self.log_scale = nn.Parameter(torch.tensor(2.66))  # 1 / 0.07, as in CLIP
        self.register_buffer("mean", torch.zeros(config.image_dim))
        self.register_buffer("std", torch.ones(config.image_dim))

    def standardise(self, looks: Tensor) -> None:
        """Takes the mean and deviation of the statistics (N, image_dim) that it is trained on."""
        self.mean.copy_(looks.mean(0))
        self.std.copy_(looks.std(0).clamp(min=1e-3))

    def see(self, looks: Tensor) -> Tensor:
        """Maps statistics (B, image_dim) to vectors (B, D) of length 1."""
        # looks that were never seen lie far outside; chosen on looks kept out of the training, none of any target
        return F.normalize(self.image(((looks - self.mean) / self.std).clamp(-FARTHEST, FARTHEST)), dim=-1)

    def read(self, meanings: Tensor) -> Tensor:
        """Maps mean token states (S, text_dim) to vectors (S, D) of length 1."""
        return F.normalize(self.text(meanings), dim=-1)

    def loss(self, images: Tensor, sentences: Tensor, kinds: Tensor) -> Tensor:
        """Returns CLIP's symmetric loss of B pairs; pairs of the same look are not negatives of each other.

        Args:
            images: (B, image_dim) statistics.
            sentences: (B, text_dim).
            kinds: (B,) number of each pair's look.
        """
        image, text = self.see(images), self.read(sentences)
        logits = self.log_scale.exp().clamp(max=100) * image @ text.T
        same = kinds[:, None] == kinds[None]
        logits = logits.masked_fill(same & ~torch.eye(len(kinds), dtype=torch.bool, device=kinds.device), -torch.inf)
        target = torch.arange(len(kinds), device=kinds.device)
        return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


class SmallEncoder:
    """Statistics of pictures, a frozen text encoder and the trained part.

    See :class:`lvtune.language.joint_registry.JointEncoder`.

    Args:
        joint: the trained part.
        name: name in errors and reports.
        known: sentences and their vectors (S, D); others are encoded by the text encoder.
    """

    def __init__(
        self, joint: SmallJoint, name: str = "small", known: tuple[Sequence[str], Tensor] | None = None
    ) -> None:
        self.joint, self.name = joint.eval().requires_grad_(False), name
        sentences, vectors = known if known is not None else ((), torch.empty(0, joint.config.dim))
        self.known = dict(zip(sentences, F.normalize(vectors.float(), dim=-1), strict=True))
        self._words: TextEncoder | None = None

    @property
    def dim(self) -> int:
        """D, the width of the vectors."""
        return self.joint.config.dim

    @property
    def key(self) -> str:
        """Identifies the weights of the trained part, the sentences in the file, and the text encoder."""
        known = {f"known {sentence}": vector for sentence, vector in self.known.items()}
        return f"{weights_key(self.joint)} {hash_tensors(known.items())} {self.joint.config.text}"

    def looks(self, images: Tensor) -> Tensor:
        """Returns the statistics (B, image_dim) of pictures (B, 3, H, W) from 0 to 1."""
        return look_statistics(images)

    def meanings(self, sentences: Sequence[str]) -> Tensor:
        """Returns the mean token states (S, text_dim) of S sentences.

        Raises:
            LvtuneError: the text encoder is not to be had.
        """
        if self._words is None:
            from lvtune.language.encoders import load_text_encoder

            self._words = load_text_encoder(self.joint.config.text)
        tokens, mask = self._words.encode(list(sentences))
        states, mask = torch.from_numpy(tokens), torch.from_numpy(mask)[..., None]
        return (states * mask).sum(1) / mask.sum(1)

    @torch.no_grad()
    def encode_images(self, images: Tensor) -> Tensor:
        """Returns vectors (B, D) of length 1 of pictures (B, 3, H, W) from 0 to 1."""
        with torch.autocast(images.device.type, enabled=False):
            self.joint.to(images.device)
            return torch.cat([self.joint.see(self.looks(part)) for part in images.split(_AT_ONCE)])

    @torch.no_grad()
    def encode_text(self, sentences: Sequence[str]) -> Tensor:
        """Returns vectors (S, D) of length 1 of S sentences, on the CPU.

        Raises:
            LvtuneError: a sentence is not in the file, and the text encoder is not to be had.
        """
        new = [sentence for sentence in dict.fromkeys(sentences) if sentence not in self.known]
        made = dict(zip(new, self._encode(new), strict=True)) if new else {}
        rows = [self.known[s] if s in self.known else made[s] for s in sentences]
        return torch.stack(rows) if rows else torch.empty(0, self.dim)

    def _encode(self, sentences: Sequence[str]) -> Tensor:
        return self.joint.read(self.meanings(sentences).to(self.joint.log_scale.device)).cpu()


def save_small(
    joint: SmallJoint, file: str | Path, about: dict[str, str] | None = None, known: SmallEncoder | None = None
) -> Path:
    """Writes the trained part into a safetensors file.

    Args:
        joint: the trained part.
        file: to write.
        about: on its training, for the header.
        known: an encoder whose ``known`` sentences are written too, as float16.
    """
    tensors = {name: value.detach().cpu().contiguous() for name, value in joint.state_dict().items()}
    sentences = {} if known is None else known.known
    if sentences:
        tensors[_VECTORS] = torch.stack(list(sentences.values())).half()
    header = {"config": json.dumps(asdict(joint.config)), "sentences": json.dumps(list(sentences))}
    return write_atomically(Path(file), to_safetensors(tensors, {**(about or {}), **header}))


def load_small(file: str | Path, name: str | None = None) -> SmallEncoder:
    """Loads a file that :func:`save_small` wrote.

    Args:
        file: path.
        name: name in reports; None: ``small:`` and the path.

    Raises:
        LvtuneError: there is no such file, or it is not a small joint encoder.
    """
    fix = "train one: python tools/train_small_joint.py --out FILE; or leave :FILE out, for the one that ships"
    if not Path(file).is_file():
        raise UsageError(f"no file {file} of a small joint encoder", "one that was trained here", fix)
    try:
        with safe_open(str(file), "pt") as opened:
            header = opened.metadata()
            state = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
        joint = SmallJoint(SmallConfig(**json.loads(header["config"])))
        sentences = json.loads(header["sentences"])
        vectors = state.pop(_VECTORS, torch.empty(0, joint.config.dim))
        joint.load_state_dict(state)
        if joint.config.image_dim != STATISTICS or len(sentences) != len(vectors):
            raise ValueError("of another version of lvtune")
        return SmallEncoder(joint, name or f"small:{file}", (sentences, vectors))
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:160]
        raise DataError(f"{file} as a small joint encoder ({reason})", "one that was trained here", fix) from None


@register_joint_encoder("small")
def small(source: str | None = None) -> SmallEncoder:
    """Loads the encoder that ships, or that of a file."""
    return load_small(SHIPPED, "small") if source is None else load_small(source)
