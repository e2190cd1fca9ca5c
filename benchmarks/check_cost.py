"""Share of a default run that checksums, fingerprints and validation take.

    python benchmarks/check_cost.py [--steps N]

Runs ``lvtune adapt`` without options, with a clock around each check. A check inside another one is counted once.
"""

from __future__ import annotations

import argparse
import functools
import importlib
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

CHECKS = {
    "fingerprints of the base": [
        ("lvtune.bases.fingerprint", "fingerprint"),
        ("lvtune.bases.fingerprint", "fingerprints"),
    ],
    "marks of data, pictures, base and start": [("lvtune.api.run_marks", "marks_of")],
    "look at every picture, and at the labels": [
        ("lvtune.api.data_check", "require_sound_splits"),
        ("lvtune.api.data_check", "check_labels"),
    ],
    "checksums of adapter files": [
        ("lvtune.core.tensor_file", "hash_tensors"),
        ("lvtune.storage.adapter_config", "config_hash"),
        ("lvtune.storage.tensor_checks", "check_finite"),
    ],
    "checksums of caches": [("lvtune.core.files", "is_sealed")],
    "bounded JSON": [("lvtune.core.strict_json", "strict_json")],
    "guard of each step": [("lvtune.training.step_guard.StepGuard", name) for name in ("loss", "gradients", "end")],
    "what the JPEG decoder says": [("lvtune.data.jpeg_damage", "listen")],
    "outputs that are inputs": [("lvtune.storage.output_folder", "check_output")],
}
seconds: dict[str, float] = defaultdict(float)
_inside = [False]


def timed(kind: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function with a clock; what it does inside another check is that one's."""

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if _inside[0]:
            return function(*args, **kwargs)
        _inside[0], started = True, time.perf_counter()
        try:
            return function(*args, **kwargs)
        finally:
            seconds[kind] += time.perf_counter() - started
            _inside[0] = False

    return call


def decoder_cost(listen: Callable[..., Any]) -> Callable[..., Any]:
    """Counts what listening to the decoder costs beside the decoding itself."""

    def call(decode: Callable[[], Any]) -> Any:
        spent = [0.0]

        def measured() -> Any:
            begun = time.perf_counter()
            result = decode()
            spent[0] = time.perf_counter() - begun
            return result

        started = time.perf_counter()
        found = listen(measured)
        if not _inside[0]:
            seconds["what the JPEG decoder says"] += time.perf_counter() - started - spent[0]
        return found

    return call


def put_clocks() -> None:
    """Replaces each check by itself with a clock, wherever it was imported."""
    import sys

    import lvtune.cli.main  # noqa: F401
    from lvtune.api import adapting  # noqa: F401

    for kind, places in CHECKS.items():
        for module, name in places:
            owner_name, _, cls = module.rpartition(".") if module[-5:] == "Guard" else (module, "", "")
            owner: Any = importlib.import_module(owner_name)
            owner = getattr(owner, cls) if cls else owner
            plain = getattr(owner, name)
            clocked = decoder_cost(plain) if name == "listen" else timed(kind, plain)
            setattr(owner, name, clocked)
            for other in [m for n, m in sys.modules.items() if n.startswith("lvtune")]:
                for own, value in list(vars(other).items()):
                    if value is plain:
                        setattr(other, own, clocked)


def main() -> None:
    """Runs and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=None, help="fewer steps than the default run, for a quick look")
    args = parser.parse_args()
    import lvtune

    put_clocks()
    from lvtune.api.adapting import adapt

    train = {} if args.steps is None else {"train": {"steps": args.steps}}
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        adapt(lvtune.Recipe.from_dict({"out": folder, "device": "cpu", **train}))
        whole = time.perf_counter() - started
    for kind in CHECKS:
        print(f"{kind:<44} {seconds[kind]:8.3f} s  {100 * seconds[kind] / whole:6.3f} %")
    total = sum(seconds.values())
    print(f"{'all checks':<44} {total:8.3f} s  {100 * total / whole:6.3f} %  of a run of {whole:.1f} s")


if __name__ == "__main__":
    main()
