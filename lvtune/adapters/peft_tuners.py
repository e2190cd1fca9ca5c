"""Registers peft's tuners by name: those that leave the base's answer exactly as it is until they are tuned.

The others are reached as ``peft`` with ``tuner`` and ``options`` of peft's own config. LoRA is native (``lora``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lvtune.adapters.method_registry import register_method
from lvtune.adapters.peft_bridge import PeftAdapter
from lvtune.adapters.peft_options import PeftOptions, Tuner


def _divisor(at_most: int) -> Any:
    """Returns a function from a width to its largest divisor up to a limit."""
    return lambda width: max(n for n in range(1, at_most + 1) if width % n == 0)


_RANK_8 = {"r": 8, "lora_alpha": 16}
_MLP = {"feedforward_modules": ("fc2",)}

TUNERS: dict[str, tuple[Tuner, str, Mapping[str, Any]]] = {
    "dora": (
        Tuner("LORA", preset=_RANK_8 | {"use_dora": True}),
        "LoRA of the direction, and a magnitude for each output. Paper: DoRA, arXiv 2402.09353.",
        {"lr": 2e-3},
    ),
    "rslora": (
        Tuner("LORA", preset=_RANK_8 | {"use_rslora": True}),
        "LoRA scaled by alpha / sqrt(r). Paper: rsLoRA, arXiv 2312.03732.",
        {"lr": 1e-3},
    ),
    "ia3": (
        Tuner("IA3", targets=("key", "value", "fc2"), roles=_MLP),
        "A factor for each key, value and hidden unit. Paper: (IA)3, arXiv 2205.05638.",
        {"lr": 5e-3},
    ),
    "oft": (
        Tuner("OFT", fit=lambda width: {"oft_block_size": _divisor(32)(width)}),
        "Rotations of the input in blocks. Paper: OFT, arXiv 2306.07280.",
        {"lr": 1e-3},
    ),
    "boft": (
        Tuner("BOFT", fit=lambda width: {"boft_block_size": _divisor(4)(width)}),
        "Rotations factorised like butterflies. Paper: BOFT, arXiv 2311.06243.",
        {"lr": 1e-3},
    ),
    "vera": (
        Tuner("VERA"),
        "Trained vectors between random matrices that all layers share. Paper: VeRA, arXiv 2310.11454.",
        {"lr": 5e-3},
    ),
    "loha": (
        Tuner("LOHA", preset={"r": 8, "alpha": 16}),
        "A Hadamard product of two low-rank matrices. Papers: FedPara, arXiv 2108.06098; LyCORIS, arXiv 2309.14859.",
        {"lr": 2e-3},
    ),
    "lokr": (
        Tuner("LOKR", preset={"r": 8, "alpha": 16}),
        "A Kronecker product with a low-rank factor. Papers: KronA, arXiv 2212.10650; LyCORIS, arXiv 2309.14859.",
        {"lr": 2e-3},
    ),
    "fourierft": (
        Tuner("FOURIERFT", preset={"init_weights": True}, fit=lambda width: {"n_frequency": min(1000, width * width)}),
        "Few entries of the difference's spectrum. Paper: FourierFT, arXiv 2405.03003.",
        {"lr": 5e-3},
    ),
    "randlora": (
        Tuner("RANDLORA", preset={"r": 32}),
        "Full rank, as a weighted sum of random low-rank matrices. Paper: RandLoRA, arXiv 2502.00987.",
        {"lr": 1e-3},
    ),
    "c3a": (
        Tuner("C3A", preset={"init_weights": True}, fit=lambda width: {"block_size": _divisor(128)(width)}),
        "Blocks of circular convolutions. Paper: C3A, arXiv 2407.19342.",
        {"lr": 5e-3},
    ),
    "road": (
        Tuner("ROAD", fit=lambda width: {"group_size": _divisor(32)(width)}),
        "Rotations and scales of pairs of outputs. Paper: RoAd, arXiv 2409.00119.",
        {"lr": 2e-3},
    ),
    "miss": (
        Tuner("MISS", preset={"r": 8}),
        "One small matrix shared by shards of the input. Paper: MiSS, arXiv 2409.15371.",
        {"lr": 2e-3},
    ),
    "delora": (
        Tuner("DELORA", preset={"r": 8}),
        "LoRA of bounded, trained strength. Paper: DeLoRA, arXiv 2503.18225.",
        {"lr": 2e-3},
    ),
}
"""Name to tuner, what it is, and training options that suit it."""


LINEAR = ("ia3", "fourierft", "c3a")
"""Tuners whose difference of weights is linear in what they train (a factor, a spectrum, a circulant kernel)."""


def register_tuner(name: str, tuner: Tuner, doc: str, defaults: Mapping[str, Any]) -> type[PeftAdapter]:
    """Makes one of peft's tuners a method; ``doc`` says what it is and names its paper."""
    body = {
        "tuner": tuner,
        "linear": name in LINEAR,
        "defaults": {"weight_decay": 0.0, **defaults},
        "__doc__": doc,
        "__module__": __name__,
    }
    return register_method(name)(type(f"Peft_{name}", (PeftAdapter,), body))


for _name, _entry in TUNERS.items():
    register_tuner(_name, *_entry)


@dataclass(frozen=True)
class AnyTunerOptions(PeftOptions):
    """Options of ``peft``."""

    tuner: str = "lora"
    """The tuner's name in peft, in whatever case, or the name of one of our methods for its presets."""


@register_method("peft")
class AnyTuner(PeftAdapter):
    """Any tuner that peft has for these layers, in peft's own settings; also what files of plain peft become."""

    Config = AnyTunerOptions
    defaults = {"lr": 2e-3, "weight_decay": 0.0}  # noqa: RUF012

    def find_tuner(self, config: AnyTunerOptions) -> Tuner:
        """Returns the tuner by name; one of ours brings its presets."""
        known = TUNERS.get(config.tuner.lower())
        return known[0] if known is not None else Tuner(config.tuner.upper())
