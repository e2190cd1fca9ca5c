"""Measures the peak memory of a run."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import sys
from pathlib import Path

from lvtune.core.machine import resident_bytes

_RESET = Path("/proc/self/clear_refs")


def reset_peak_memory() -> None:
    """Resets the peak, so that each of several runs in a process reports its own; where the system can."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)  # glibc keeps freed memory, which would count for the next run
    with contextlib.suppress(OSError):
        _RESET.write_text("5", encoding="ascii")  # Linux: the largest resident size starts anew (proc(5))
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()


def peak_memory_mb() -> float:
    """Returns the largest resident size of this process in MB, since the start or :func:`reset_peak_memory`."""
    return round(resident_bytes(largest=True) / 1024**2, 1)


def peak_device_memory_mb() -> float | None:
    """Returns the largest memory allocated on the GPU in MB; None without a GPU."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return None
    return round(torch.cuda.max_memory_allocated() / 1024**2, 1)


def resident_memory_mb() -> float:
    """Returns the resident size of this process in MB."""
    return round(resident_bytes() / 1024**2, 1)


class MemoryMeter:
    """Measures the peak memory of a run, of its tuning and of its other parts.

    Made before anything is loaded; what the process holds then, libraries above all, counts as ``imports_mb``.
    """

    def __init__(self) -> None:
        import transformers  # noqa: F401  every base needs it: it counts as an import, not as memory of the run

        self.imports_mb = resident_memory_mb()
        reset_peak_memory()
        self._peak, self._device, self._tuning = 0.0, None, None

    def _note(self) -> None:
        self._peak = max(self._peak, peak_memory_mb())
        device = peak_device_memory_mb()
        self._device = device if self._device is None or device is None else max(self._device, device)

    def begin_tuning(self) -> None:
        """Called before the tuning, whose peak is measured by itself."""
        self._note()
        reset_peak_memory()

    def end_tuning(self) -> dict[str, float | None]:
        """Called after the tuning; returns its peaks, ``peak_memory_mb`` and ``peak_device_memory_mb``."""
        self._note()
        self._tuning = peak_memory_mb()
        return {"peak_memory_mb": self._tuning, "peak_device_memory_mb": peak_device_memory_mb()}

    def to_dict(self) -> dict[str, float | None]:
        """Returns the peaks of the run so far in MB.

        ``imports_mb`` (held before anything was loaded), ``peak_mb``, ``above_imports_mb``, ``tuning_mb`` (peak of the
        tuning alone) and ``device_mb`` (allocated on the GPU; None without one). Of this process alone.
        """
        self._note()
        return {
            "imports_mb": self.imports_mb, "peak_mb": self._peak,
            "above_imports_mb": round(max(0.0, self._peak - self.imports_mb), 1), "tuning_mb": self._tuning,
            "device_mb": self._device,
        }  # fmt: skip
