"""Configs of peft: ours on top of them, presets of each tuner, where it goes in a base, and values from text."""

from __future__ import annotations

import contextlib
import json
import math
import typing
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from lvtune.adapters.building import BLOCK_LAYERS, layers_of_blocks
from lvtune.adapters.peft_allowed import check_tuner, check_values, kept_options
from lvtune.adapters.peft_names import plain, resolve_names
from lvtune.bases.base import Base
from lvtune.config.coerce import coerce, describe
from lvtune.core.errors import LvtuneError
from lvtune.core.registry import suggest

if TYPE_CHECKING:
    from peft import PeftConfig

NOISE = (
    "`is_gradient_checkpointing` is deprecated",  # transformers, of an attribute that peft reads
    "Failed to load the CUDA extension",  # BOFT, which computes the same without it
    "Setting boft_n_butterfly_factor to 1",
)


@dataclass(frozen=True)
class Tuner:
    """One of peft's tuners, and what we set in its config where the user does not."""

    peft_type: str
    """Its name in peft's configs, such as ``LORA``."""
    targets: tuple[str, ...] = ("query", "value")
    """Layers of each block that it goes to."""
    preset: Mapping[str, Any] = field(default_factory=dict)
    """Fields of peft's config."""
    roles: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Fields of peft's config that name layers, to the layers of each block that they name."""
    fit: Callable[[int], Mapping[str, Any]] = lambda width: {}
    """Fields that depend on the widths of the layers, from their greatest common divisor."""


@dataclass(frozen=True)
class PeftOptions:
    """Options of the methods that come from peft."""

    r: int | None = field(default=None, metadata={"at_least": 1})
    """Rank, where the tuner has one; None takes the method's own."""
    alpha: float | None = None
    """Scale of what is added, where the tuner has one (``lora_alpha`` and the like); None takes the method's own."""
    targets: tuple[str, ...] | None = None
    """Layers of each block: any of norm, query, key, value, out, norm2, fc1, fc2; None takes the method's own."""
    predictor: bool = True
    """Train a copy of the predictor (the head's last convolution) as well."""
    options: dict[str, Any] = field(default_factory=dict)
    """Further fields of peft's own config, by peft's names; ``target_modules`` among them replaces all presets."""


def make_peft_config(
    method: str, tuner: Tuner, config: PeftOptions, base: Base, predictor: str | None
) -> tuple[PeftConfig, list[str] | None]:
    """peft's config and the names of the layers that it is to change; None for these where the user names them.

    Args:
        method: for errors.
        tuner: with its presets.
        config: what the user asks for.
        base: whose blocks are looked into.
        predictor: name of the module to save whole, or None.

    Raises:
        LvtuneError: options that peft or the base does not have.
    """
    cls = config_class(tuner.peft_type)
    values, targets = dict(config.options), None
    if "target_modules" not in values:
        parts = config.targets if config.targets is not None else tuner.targets
        targets = _names(method, base, parts)
        values = _preset(tuner, base, parts) | {"target_modules": targets} | values
    elif config.targets is not None:
        raise LvtuneError("targets and options.target_modules", "one of the two", "leave --method.targets out")
    values |= _sugar(method, cls, config)
    values = typed(cls, values)
    check_values(tuner.peft_type, values)
    values = resolve_names(values, [plain(name) for name, _ in base.model.named_modules()])
    if predictor is not None:
        values["modules_to_save"] = [*(values.get("modules_to_save") or ()), predictor]
    try:
        with quiet():
            return cls(**values), targets
    except (TypeError, ValueError, AttributeError, KeyError, AssertionError) as error:
        raise refused(method, f"says: {line_of(error)}") from error


def _names(method: str, base: Base, parts: tuple[str, ...]) -> list[str]:
    """Full names of these parts of all blocks, found by identity: no layer elsewhere can be meant by accident."""
    if not 0 < len(parts) == len(set(parts) & set(BLOCK_LAYERS)):
        raise LvtuneError(
            f"{method} on targets '{','.join(parts)}'", f"some of {', '.join(BLOCK_LAYERS)}, each once",
            "set --method.targets query,value",
        )  # fmt: skip
    modules = layers_of_blocks(method, base, parts)
    names = {id(module): name.replace("_orig_mod.", "") for name, module in base.model.named_modules()}
    return [names[id(module)] for module in modules]


def _preset(tuner: Tuner, base: Base, parts: tuple[str, ...]) -> dict[str, Any]:
    roles = {}
    for name, named in tuner.roles.items():
        both = tuple(part for part in parts if part in named)
        roles[name] = _names(tuner.peft_type, base, both) if both else []
    sizes = {size for module in layers_of_blocks(tuner.peft_type, base, parts) for size in module.weight.shape}
    return {**tuner.preset, **tuner.fit(math.gcd(*sizes)), **roles}


def _sugar(method: str, cls: type, config: PeftOptions) -> dict[str, Any]:
    """``r`` and ``alpha`` under the names that the tuner has for them."""
    known = [f.name for f in fields(cls)]
    found = {
        "r": next((name for name in known if name == "r"), None),
        "alpha": next((name for name in known if name == "alpha" or name.endswith("_alpha")), None),
    }
    given = {name: value for name in found if (value := getattr(config, name)) is not None}
    for name in given:
        if found[name] is None:
            raise LvtuneError(f"{name} for {method}, which has none", "options that it has", f"remove --method.{name}")
    return {str(found[name]): value for name, value in given.items()}


def options_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """Returns an ``adapter_config.json`` as options of the method ``peft``: those that differ from peft's defaults.

    What other versions of peft write and this one does not know is ignored with a note, as peft itself does.

    Raises:
        LvtuneError: no tuner that is known here; an option that lvtune does not pass on.
    """
    kind = str(config.get("peft_type"))
    cls = config_class(kind)
    defaults = {f.name: f.default for f in fields(cls)}
    options = kept_options(kind.upper(), config, defaults, bookkeeping())
    options["target_modules"] = config.get("target_modules")
    return {"tuner": kind.lower(), "predictor": False, "options": options}


def as_json(config: PeftConfig) -> dict[str, Any]:
    """A config as peft writes it."""
    found = {name: sorted(value) if isinstance(value, set) else value for name, value in config.to_dict().items()}
    try:
        return json.loads(json.dumps(found))
    except TypeError as error:
        raise LvtuneError(
            f"options of peft that cannot be saved ({error})", "words, numbers, true, false, lists and tables",
            "mend --method.options",
        ) from error  # fmt: skip


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Hides the warnings that a user of peft can do nothing about."""
    with warnings.catch_warnings():
        for message in NOISE:
            warnings.filterwarnings("ignore", message=message)
        yield


def line_of(error: BaseException) -> str:
    """What an error says, in one line."""
    return " ".join(str(error).split()) or type(error).__name__


def refused(method: str, what: str) -> LvtuneError:
    """The error of a method whose options peft cannot follow, or not without touching the base."""
    return LvtuneError(
        f"{method}: peft {what}", "options that fit the base's layers and leave its own weights as they are",
        "change --method.options or --method.targets",
    )  # fmt: skip


def config_class(name: str) -> type:
    """Returns peft's config class of a tuner.

    Args:
        name: such as ``LORA`` or ``lora``.

    Raises:
        UsageError: no tuner of that name, or one that works on the tokens of a text or is not known to be safe.
    """
    from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

    known = {str(getattr(kind, "value", kind)).upper(): cls for kind, cls in PEFT_TYPE_TO_CONFIG_MAPPING.items()}
    check_tuner(name, known)
    return known[name.upper()]


def bookkeeping() -> set[str]:
    """Fields of every config of peft that say nothing of the tuner itself."""
    from peft import PeftConfig

    return {field.name for field in fields(PeftConfig)} | {"runtime_config"}


def typed(cls: type, values: Mapping[str, Any]) -> dict[str, Any]:
    """``values`` for the fields of ``cls``; text, as a command line gives it, becomes what the field holds.

    Raises:
        LvtuneError: a field that ``cls`` does not have, or text that is no value of it.
    """
    known = [field.name for field in fields(cls) if field.name not in bookkeeping()]
    hints = typing.get_type_hints(cls)
    return {name: _value(cls, known, name, value, hints.get(name, Any)) for name, value in values.items()}


def _value(cls: type, known: list[str], name: str, value: Any, hint: Any) -> Any:
    if name not in known:
        raise LvtuneError(
            f"unknown option 'method.options.{name}'", f"fields of peft's {cls.__name__}: {', '.join(known)}",
            suggest(name, known, "remove it, or upgrade peft"),
        )  # fmt: skip
    if not isinstance(value, str):
        return value
    kinds = typing.get_args(hint) or (hint,)
    for kind in (bool, int, float):
        if kind in kinds:
            try:
                return coerce(value, kind)
            except ValueError:
                continue
    if str in kinds:
        return value
    try:
        return coerce(value, hint)
    except ValueError:
        raise LvtuneError(f"method.options.{name} = {value}", describe(hint), f"give {describe(hint)}") from None
