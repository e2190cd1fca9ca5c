"""Reads the private functions and flags of torch and Accelerate that lvtune needs, each in one place.

They have no public counterpart, and a new version may remove them. If one is missing, the error names it and the
versions that lvtune was tested with.
"""

from __future__ import annotations

import importlib.metadata
import sys
from typing import TYPE_CHECKING, Any

import torch

from lvtune.core.errors import UsageError

if TYPE_CHECKING:
    from torch import nn

TESTED = {"torch": ("2.11 to 2.15", "torch>=2.11,<2.16"), "accelerate": ("1.10 to 1.15", "accelerate>=1.10,<1.16")}
"""Maps a library to the versions that lvtune was tested with, in words and as pip writes them."""


def backward_pass_id() -> int:
    """Returns the number of the backward pass that this thread is in, or -1.

    Raises:
        UsageError: this version of torch does not say it.
    """
    return _read(torch._C, "_current_graph_task_id", "torch", "torch._C")()


def is_exporting() -> bool:
    """Returns True while ``torch.export`` traces; torch's own ``is_exporting`` is true under ``torch.compile`` as well.

    Raises:
        UsageError: this version of torch does not say it.
    """
    return _read(torch.compiler, "_is_exporting_flag", "torch", "torch.compiler")


def compiler_reads_context() -> bool:
    """Returns True if ``torch.compile`` takes context variables into its graphs; older versions break them there.

    Also where the compiler has not been imported: then nothing is compiled.
    """
    variables = sys.modules.get("torch._dynamo.variables")
    return variables is None or hasattr(variables, "ContextVarVariable")


def onednn_linear() -> Any | None:
    """Returns oneDNN's linear layer, ``(x, weight, bias, "none", [], "")``; None where this torch has none.

    ``torch.compile`` calls it for linear layers on a CPU. It has no gradient.
    """
    return getattr(torch.ops.mkldnn, "_linear_pointwise", None)


def is_compiled(model: nn.Module) -> bool:
    """Returns True if a part of ``model``, or the whole of it, is compiled.

    Raises:
        UsageError: this version of torch does not say it.
    """
    return any(
        "_orig_mod" in part._modules or _read(part, "_compiled_call_impl", "torch", "torch.nn.Module") is not None
        for part in model.modules()
    )


def forget_accelerator() -> None:
    """Lets the next Accelerator of this process have another device and precision.

    Does nothing in one of several processes.

    Accelerate keeps the settings of the first Accelerator for the life of the process.

    Raises:
        UsageError: this version of Accelerate cannot.
    """
    from accelerate.state import AcceleratorState, PartialState

    shared = _read(PartialState, "_shared_state", "accelerate", "accelerate.PartialState")
    if shared.get("num_processes", 1) == 1:
        _read(AcceleratorState, "_reset_state", "accelerate", "accelerate.AcceleratorState")(reset_partial_state=True)


def _read(owner: Any, name: str, library: str, place: str) -> Any:
    try:
        return getattr(owner, name)
    except AttributeError:
        words, pin = TESTED[library]
        version = importlib.metadata.version(library)
        raise UsageError(
            f"{library} {version}, which has no {place}.{name}", f"a version that lvtune is tested with ({words})",
            f"pip install '{pin}'",
        ) from None  # fmt: skip
