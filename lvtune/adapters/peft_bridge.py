"""Any of peft's tuners as a method of ours; the names are in :mod:`lvtune.adapters.peft_tuners`.

Source: https://github.com/huggingface/peft. peft's own injection runs on a copy of the base. Of that, the adapter keeps
peft's layers (without the layers of the base that they wrap) and the tree of names by which peft saves and loads; the
rest of the copy is let go. Attaching lets each of peft's layers stand in for the forward of the base's layer at its
place, so that no module, class or tensor of the base is replaced, and everything that holds for native methods
(detaching in any order, one adapter per sample, threads) holds here.
"""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from lvtune.adapters.adapter import Adapter
from lvtune.adapters.building import name_of, own_predictor, replaced
from lvtune.adapters.peft_allowed import NEEDS_DATA
from lvtune.adapters.peft_options import PeftOptions, Tuner, as_json, line_of, make_peft_config, quiet, refused
from lvtune.bases.base import Base
from lvtune.bases.changes import Call, Change, Fold, ReplaceForward
from lvtune.bases.float_types import in_dtype
from lvtune.data.skeletons import Skeleton

if TYPE_CHECKING:
    from peft import PeftConfig, PeftModel

_PREFIX = "base_model.model."
_PEFT_ERRORS = (
    TypeError, ValueError, RuntimeError, AttributeError, KeyError, IndexError, AssertionError, ImportError,
    ArithmeticError, MemoryError,
)  # fmt: skip
"""What peft raises for options that do not fit."""


class PeftAdapter(Adapter):
    """peft's layers, ready to stand in for the base's, and by default a trained predictor."""

    needs_storage = True  # several tuners compute from the base's weights when they are made

    Config = PeftOptions
    trains_predictor = True
    tuner: ClassVar[Tuner]

    def __init__(
        self, config: PeftOptions, base: Base, *, bank: object = None, skeleton: Skeleton | None = None
    ) -> None:
        super().__init__()
        self.config = config
        predictor = own_predictor(self.method, base, skeleton, config.predictor)
        place = name_of(base, base.predictor) if predictor is not None else None
        peft_config, targets = make_peft_config(self.method, self.find_tuner(config), config, base, place)
        # as it was given: injecting may shorten lists of names
        self._peft_config = as_json(peft_config)
        model = inject(self.method, peft_config, base)
        layers, saved = parts_of(model)
        if targets is not None and set(layers) != set(targets):
            raise refused(self.method, f"goes to {', '.join(sorted(set(layers) ^ set(targets)))}, against its targets")
        _check_base_untouched(self.method, model, base)
        if place is not None:
            kept: Any = saved[place]
            kept.modules_to_save["default"] = predictor
        for layer in layers.values():
            layer._modules.pop("base_layer")
        self.layers = _by_key(layers)
        self.saved = _by_key({name: module.modules_to_save["default"] for name, module in saved.items()})
        _prune(model.base_model.model, keep=set(self.modules()))
        # a tuple hides the tree from parameters() and state_dict()
        self._tree = (model,)

    def find_tuner(self, config: PeftOptions) -> Tuner:
        """The tuner that the method is named after."""
        return self.tuner

    def changes(self, base: Base) -> Iterator[Change]:
        """peft's layers and trained copies in place of the base's modules."""
        modules = {name.replace("_orig_mod.", ""): module for name, module in base.model.named_modules()}
        for key, layer in self.layers.items():
            module = modules[key.replace("/", ".")]
            plain = getattr(module, "_orig_mod", module)
            yield ReplaceForward(
                module, _wrapping(layer, plain), fold=_merging(self.method, layer, plain) if _has_merge(layer) else None
            )
        for key, module in self.saved.items():
            yield replaced(modules[key.replace("/", ".")], module)

    def tensors(self) -> dict[str, Tensor]:
        """In peft's names, as ``PeftModel.save_pretrained`` writes them."""
        from peft import get_peft_model_state_dict

        found = get_peft_model_state_dict(self._tree[0], save_embedding_layers=False)
        return {name: value.detach() for name, value in found.items()}

    def load_tensors(self, tensors: dict[str, Tensor]) -> None:
        """From peft's names."""
        from peft import set_peft_model_state_dict

        set_peft_model_state_dict(self._tree[0], dict(tensors))

    def peft_config(self, base: Base) -> dict[str, Any]:
        """``adapter_config.json``."""
        name = base.spec.hub_id or base.name
        return {**self._peft_config, "base_model_name_or_path": name, "inference_mode": True}


def inject(method: str, config: PeftConfig, base: Base) -> PeftModel:
    """Returns peft's model around a copy of the base, in float32 on the CPU; the seed decides its random state.

    Around a base on the meta device it stays there, and takes no memory.

    Raises:
        LvtuneError: peft cannot make it.
        NotImplementedError: the base is on the meta device, and the tuner looks at weights while it is made.
    """
    from peft import get_peft_model

    device = "meta" if base.device.type == "meta" else "cpu"
    if device == "meta" and str(getattr(config.peft_type, "value", config.peft_type)) in NEEDS_DATA:
        raise NotImplementedError(f"{method} without data")
    model = base.copy_model().to(device=device, dtype=torch.float32).requires_grad_(False).eval()
    try:
        with quiet():
            return get_peft_model(model, config, autocast_adapter_dtype=False)
    except _PEFT_ERRORS as error:
        raise refused(method, f"says: {line_of(error)}") from error


def parts_of(model: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Name in the base to peft's layer there, and name to the wrapper of a module that is tuned whole."""
    from peft.tuners.tuners_utils import BaseTunerLayer
    from peft.utils import ModulesToSaveWrapper

    named = list(model.base_model.model.named_modules())
    layers = {name: module for name, module in named if isinstance(module, BaseTunerLayer)}
    return layers, {name: module for name, module in named if isinstance(module, ModulesToSaveWrapper)}


def _check_base_untouched(method: str, model: PeftModel, base: Base) -> None:
    """Raises a LvtuneError if the base's own weights in the copy are changed or to be trained."""
    own = dict(base.model.named_parameters())
    own = {name.replace("_orig_mod.", ""): value for name, value in own.items()}
    seen = set()
    for name, value in model.named_parameters():
        plain = name.removeprefix(_PREFIX).replace(".base_layer.", ".").replace(".original_module.", ".")
        if plain not in own:
            continue
        seen.add(plain)
        if value.requires_grad:
            raise refused(method, f"trains {plain}, which is the base's own")
        if not value.is_meta and not torch.equal(value, own[plain].to(device="cpu", dtype=torch.float32)):
            raise refused(method, f"rewrites {plain}, which is the base's own")
    if seen != set(own):
        raise refused(method, f"takes {min(set(own) - seen)} out of the base")


def _prune(module: Any, keep: set[nn.Module]) -> bool:
    """Leaves of a tree of modules what leads to those in ``keep``; whether anything does."""
    if module in keep:
        return True
    for name, child in list(module._modules.items()):
        if child is None or not _prune(child, keep):
            del module._modules[name]
    module._parameters.clear()
    module._buffers.clear()
    return bool(module._modules)


def _wrapping(layer: nn.Module, module: Any) -> Callable[..., Any]:
    """peft's layer around the base's ``module``, for one attachment."""
    plain = _bare(module)
    view = copy.copy(layer)  # shares peft's weights with the adapter, but not the module that it wraps
    # peft's weights may be float32 over a base of another type
    plain.__dict__["forward"] = in_dtype(plain.forward, lambda: _dtype_of(plain))
    view.__dict__["base_layer"] = plain  # not a submodule: the adapter's modules are the view's as well

    def replace(call: Call, *args: Any, **kwargs: Any) -> Any:
        if view.training != layer.training:
            view.training = layer.training
        return view(*args, **kwargs)

    return replace


def _dtype_of(module: Any) -> torch.dtype:
    """The floating type of a layer's weights; float32 where it has none of a floating type."""
    return next((v.dtype for v in module.parameters() if v.is_floating_point()), torch.float32)


def _bare(module: Any) -> nn.Module:
    """The base's module without what is hooked to it."""
    plain = copy.copy(module)  # shares the dicts of weights and buffers, so it follows the base to another device
    plain.__dict__.pop("forward", None)  # the patcher's: it would lead back here
    for name in [name for name in vars(plain) if name.endswith("_hooks")]:
        plain.__dict__[name] = OrderedDict()  # they run around the base's module as it is
    return plain


def _has_merge(layer: nn.Module) -> bool:
    """Returns True if the tuner implements peft's ``merge``, which peft's base class refuses."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    return isinstance(layer, BaseTunerLayer) and type(layer).merge is not BaseTunerLayer.merge


def _merging(method: str, layer: nn.Module, module: Any) -> Fold:
    """peft's own merge, into a copy of the base's ``module``."""

    def fold(own: Mapping[str, Tensor], category: str | None) -> dict[str, Tensor]:
        plain = copy.deepcopy(_bare(module))
        alone: Any = copy.deepcopy(layer)
        plain.to(next(iter(own.values())).dtype).load_state_dict(own)
        alone.__dict__["base_layer"] = plain
        try:
            with quiet():
                alone.merge(safe_merge=True)
        except (NotImplementedError, AttributeError, TypeError, ValueError, RuntimeError) as error:
            raise refused(method, f"does not merge: {line_of(error)}") from error
        return plain.state_dict()

    return fold


def _by_key(modules: Mapping[str, nn.Module]) -> nn.ModuleDict:
    return nn.ModuleDict({name.replace(".", "/"): module for name, module in modules.items()})
