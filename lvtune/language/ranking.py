"""Which sentence says best what a picture looks like: the image side of CLIP or SigLIP against sentences.

Radford et al., Learning Transferable Visual Models From Natural Language Supervision, ICML 2021, arXiv 2103.00020;
SigLIP: Zhai et al., ICCV 2023, arXiv 2303.15343.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from lvtune.core.errors import LvtuneError
from lvtune.core.hub_limits import hub_limits
from lvtune.core.network import why_unreachable
from lvtune.language.encoders import quiet

RANKER = "openai/clip-vit-base-patch32"
_BATCH = 32


class ImageRanker:
    """Cosine similarity of pictures and sentences.

    Args:
        model: folder or Hub id of a CLIP or SigLIP (both towers, image processor and tokenizer) as transformers
            saves it.
        device: where to compute.
        purpose: what it is wanted for, for errors.
        hint: what to type to name a folder, for errors.

    Raises:
        LvtuneError: weights neither in the folder nor reachable, or of another kind of model.
    """

    def __init__(
        self,
        model: str | Path = RANKER,
        device: str | torch.device = "cpu",
        *,
        purpose: str = "to rank pictures with",
        hint: str = "--ranker FOLDER",
    ) -> None:
        self.source, self.device = str(model), torch.device(device)
        self._model, self._processor, self._tokenizer = load_towers(self.source, purpose, hint)
        self._model.to(self.device)
        self._known: dict[str, Tensor] = {}

    @torch.inference_mode()
    def scores(self, images: Sequence[np.ndarray], sentences: Sequence[str]) -> Tensor:
        """Cosines (N, S) on the CPU of N pictures, (H, W, 3) uint8 RGB of any sizes, and S sentences."""
        text = torch.stack([self._sentence(sentence) for sentence in sentences])
        rows = [self._images(images[start : start + _BATCH]) @ text.T for start in range(0, len(images), _BATCH)]
        return torch.cat(rows).cpu() if rows else torch.empty(0, len(sentences))

    def best(self, images: Sequence[np.ndarray], sentences: Sequence[str]) -> list[int]:
        """For each picture the place of the sentence that fits it best."""
        return self.scores(images, sentences).argmax(1).tolist()

    def _images(self, images: Sequence[np.ndarray]) -> Tensor:
        """(n, D), of length 1."""
        pixels = self._processor(images=list(images), return_tensors="pt")["pixel_values"]
        return F.normalize(vectors(self._model.get_image_features(pixel_values=pixels.to(self.device))), dim=-1)

    def _sentence(self, sentence: str) -> Tensor:
        """(D,), of length 1; each sentence is embedded once."""
        if sentence not in self._known:
            self._known[sentence] = F.normalize(sentence_vector(self._model, self._tokenizer, sentence), dim=-1)
        return self._known[sentence]


@torch.no_grad()
def sentence_vector(model: Any, tokenizer: Any, sentence: str) -> Tensor:
    """(D,) of a sentence, as it comes.

    Padding to full length suits both kinds: SigLIP was trained to look at it, and in CLIP's causal text tower
    what follows the end of the sentence changes nothing before it.
    """
    length = model.config.text_config.max_position_embeddings
    tokens = tokenizer([sentence], padding="max_length", max_length=length, truncation=True, return_tensors="pt")
    return vectors(model.get_text_features(input_ids=tokens["input_ids"].to(model.device)))[0]


def vectors(output: Any) -> Tensor:
    """The pooled vectors (n, D), in whichever form transformers' version gives them."""
    return output if isinstance(output, Tensor) else output.pooler_output


def load_towers(source: str, purpose: str, hint: str) -> tuple[Any, Any, Any]:
    """Model (float32, eval, frozen), image processor and tokenizer.

    Args:
        source: folder or Hub id.
        purpose: what it is wanted for, such as "to rank pictures with".
        hint: what to type to name a folder.

    Raises:
        LvtuneError: weights neither in the folder nor reachable, or of another kind of model.
    """
    import transformers

    fix = f"go online once, or download {source} and name its folder ({hint}), or do without"
    wanted = "a CLIP or SigLIP saved by transformers, in a folder or on the Hub"
    if not Path(source).is_dir() and (Path(source).is_absolute() or source.startswith((".", "~"))):
        raise LvtuneError(f"no folder {source} {purpose}", wanted, f"check the path ({hint})")
    why = why_unreachable(source)
    local = {"local_files_only": why is not None}
    with quiet():
        try:
            with hub_limits(source):
                model, report = transformers.AutoModel.from_pretrained(
                    source, dtype="float32", output_loading_info=True, **local
                )
                processor = transformers.AutoImageProcessor.from_pretrained(source, **local)
                tokenizer = transformers.AutoTokenizer.from_pretrained(source, **local)
        except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
            raise LvtuneError(f"{source}, {purpose}: {why or reason}", wanted, fix) from None
    if report["missing_keys"] or not hasattr(model, "get_image_features") or not hasattr(model, "get_text_features"):
        raise LvtuneError(f"{source}, a {type(model).__name__}, {purpose}", wanted, f"choose another, such as {RANKER}")
    return model.eval().requires_grad_(False), processor, tokenizer
