"""Ranks sentences by how well they describe a picture, with CLIP or SigLIP.

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

from lvtune.core.errors import NetworkError, UsageError
from lvtune.core.hub_limits import hub_limits
from lvtune.core.network import why_unreachable
from lvtune.language.encoders import quiet

RANKER = "openai/clip-vit-base-patch32"
_BATCH = 32


class ImageRanker:
    """Computes the cosine similarity of pictures and sentences.

    Args:
        model: folder or Hub id of a CLIP or SigLIP (both encoders, image processor and tokenizer), as transformers
            saves it.
        device: device to compute on.
        purpose: what the model is for, for error messages.
        hint: what to type to name a folder, for error messages.

    Raises:
        LvtuneError: the weights cannot be loaded, or are of another kind of model.
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
        self._embedded: dict[str, Tensor] = {}

    @torch.inference_mode()
    def scores(self, images: Sequence[np.ndarray], sentences: Sequence[str]) -> Tensor:
        """Returns cosines (N, S) on the CPU of N pictures, (H, W, 3) uint8 RGB of any size, and S sentences."""
        text = torch.stack([self._sentence(sentence) for sentence in sentences])
        rows = [self._images(images[start : start + _BATCH]) @ text.T for start in range(0, len(images), _BATCH)]
        return torch.cat(rows).cpu() if rows else torch.empty(0, len(sentences))

    def best(self, images: Sequence[np.ndarray], sentences: Sequence[str]) -> list[int]:
        """Returns for each picture the index of the sentence with the largest cosine."""
        return self.scores(images, sentences).argmax(1).tolist()

    def _images(self, images: Sequence[np.ndarray]) -> Tensor:
        """Returns the vectors (n, D) of pictures, of length 1."""
        pixels = self._processor(images=list(images), return_tensors="pt")["pixel_values"]
        return F.normalize(vectors(self._model.get_image_features(pixel_values=pixels.to(self.device))), dim=-1)

    def _sentence(self, sentence: str) -> Tensor:
        """Returns the vector (D,) of a sentence, of length 1; each sentence is embedded once."""
        if sentence not in self._embedded:
            self._embedded[sentence] = F.normalize(sentence_vector(self._model, self._tokenizer, sentence), dim=-1)
        return self._embedded[sentence]


@torch.no_grad()
def sentence_vector(model: Any, tokenizer: Any, sentence: str) -> Tensor:
    """Returns the vector (D,) of a sentence, not normalised.

    Sentences are padded to full length, which suits both models: SigLIP was trained with padding, and in CLIP's causal
    text encoder the padding does not change the states before it.
    """
    length = model.config.text_config.max_position_embeddings
    tokens = tokenizer([sentence], padding="max_length", max_length=length, truncation=True, return_tensors="pt")
    return vectors(model.get_text_features(input_ids=tokens["input_ids"].to(model.device)))[0]


def vectors(output: Any) -> Tensor:
    """Returns the pooled vectors (n, D), which some versions of transformers wrap in an output object."""
    return output if isinstance(output, Tensor) else output.pooler_output


def load_towers(source: str, purpose: str, hint: str) -> tuple[Any, Any, Any]:
    """Loads model (float32, eval mode, frozen), image processor and tokenizer.

    Args:
        source: folder or Hub id.
        purpose: what the model is for, such as "to rank pictures with".
        hint: what to type to name a folder.

    Raises:
        LvtuneError: the weights cannot be loaded, or are of another kind of model.
    """
    import transformers

    fix = f"go online once, or download {source} and name its folder ({hint}), or do without"
    wanted = "a CLIP or SigLIP saved by transformers, in a folder or on the Hub"
    if not Path(source).is_dir() and (Path(source).is_absolute() or source.startswith((".", "~"))):
        raise UsageError(f"no folder {source} {purpose}", wanted, f"check the path ({hint})")
    why = why_unreachable(source)
    local: dict[str, Any] = {"local_files_only": why is not None}
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
            kind = NetworkError if why else UsageError
            raise kind(f"{source}, {purpose}: {why or reason}", wanted, fix) from None
    if report["missing_keys"] or not hasattr(model, "get_image_features") or not hasattr(model, "get_text_features"):
        raise UsageError(f"{source}, a {type(model).__name__}, {purpose}", wanted, f"choose another, such as {RANKER}")
    return model.eval().requires_grad_(False), processor, tokenizer
