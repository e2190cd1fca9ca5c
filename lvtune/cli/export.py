"""``lvtune export``: writes a base, alone or with an adapter, as a model that runs without lvtune."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lvtune.api.recipe import Recipe
from lvtune.cli.outcome import Outcome, made_for, say
from lvtune.cli.parser import CommandLineError, Parser, add_options, from_args
from lvtune.core.text import counted, shell_word

if TYPE_CHECKING:
    from lvtune.adapters.adapter import Adapter
    from lvtune.api.int8_data import Int8Data
    from lvtune.bases.base import Base


@dataclass(frozen=True)
class ExportCommand:
    """Options of ``lvtune export``."""

    format: Literal["onnx", "transformers"] = "onnx"
    """``onnx``: a file for any ONNX runtime and any batch size. ``transformers``: a folder that plain transformers
    loads; for a ViTPose, with an adapter that can be merged into its weights."""
    base: str | None = None
    """The frozen pose estimator. None: the one that the adapter was made for, or vitpose-ti."""
    weights: str = "pretrained"
    """Weights of the base: pretrained, random, a path or a Hub id."""
    adapter: str | None = None
    """Folder or Hub id of an adapter. None: the base alone."""
    adapters: str | None = None
    """For onnx: adapters with commas that become inputs of one file. They share the base's weights in it; a small
    safetensors file is written for each. In place of --adapter."""
    category: str | None = field(default=None, metadata={"was": "prompt"})
    """Category whose sentence the model reads, or mean. None: the mean of the adapter's sentences."""
    sentence: str | None = None
    """A sentence of your own in place of the adapter's. The same text encoder embeds it."""
    out: str | None = None
    """File (onnx) or folder (transformers) to write. None: in ./lvtune-out/export, named after base and adapter."""
    tolerance: float | None = field(default=None, metadata={"at_least": 0})
    """For onnx: largest difference from PyTorch that is accepted, as a share of the largest value. None: 0.0001."""
    calibration: str = "auto"
    """For onnx: what the file says of the confidence. auto: the adapter's own calibration; for a base alone, the
    one that ships with it. none: nothing. FILE: written by `lvtune evaluate --save-calibration`, for a base alone."""
    int8: bool = False
    """For onnx: write a second file in 8 bits, NAME.int8.onnx, and compare the two."""
    calibrate: str | None = None
    """For --int8: your own pictures, from which the ranges of values are taken: a labelled project or a domain (scored
    by its labels), or a folder of pictures (compared with float32)."""
    boxes: str | None = None
    """For --int8: boxes in pictures without labels, as for `lvtune predict --boxes`. None: whole pictures."""
    pictures: int = field(default=128, metadata={"at_least": 1})
    """For --int8: largest number of pictures to calibrate with."""
    max_loss: float = field(default=1.0, metadata={"at_least": 0})
    """For --int8: largest loss of the main score. If the 8-bit model loses more, its file is deleted. In points; in
    percent where the main score is an error in pixels."""


def parser(argv: Sequence[str], summary: str) -> Parser:
    """Adds the options of :class:`ExportCommand`."""
    result = Parser("export", summary)
    add_options(result, ExportCommand)
    return result


def run(args: argparse.Namespace) -> Outcome:
    """Loads the model, writes it, and compares it with the original."""
    command: ExportCommand = from_args(args, ExportCommand)
    _check_int8(command)
    several = _several(command)
    adapter_of_base = next(iter(several.values()), command.adapter)
    name = command.base or made_for(adapter_of_base).get("base", Recipe.base)
    if command.out:
        _check_out(command, Path(command.out))
    import lvtune
    from lvtune.hub.adapter_loading import load_base_for

    base = load_base_for(adapter_of_base, name, command.weights)
    if several:
        return _onnx_adapters(command, base, several)
    adapter = None if command.adapter is None else lvtune.load_adapter(command.adapter, base)
    parts = [base.name, *([adapter.domain, adapter.method] if adapter is not None else [])]
    stem = "-".join(part for part in parts if part).replace("/", "-").replace(":", "-")
    out = Path(command.out) if command.out else Path("lvtune-out") / "export" / stem
    return WRITERS[command.format](command, base, adapter, out)


def _several(command: ExportCommand) -> dict[str, str]:
    """Name to place of the adapters that become inputs; empty without ``--adapters``.

    Raises:
        CommandLineError: options that do not go with it; two adapters of one name.
    """
    if command.adapters is None:
        return {}
    others = {"--adapter": command.adapter, "--sentence": command.sentence, "--int8": command.int8 or None}
    used = next((option for option, value in others.items() if value is not None), None)
    if used or command.format != "onnx":
        used = used or f"--format {command.format}"
        raise CommandLineError(f"--adapters with {used}", "one of them", f"leave {used.split()[0]} out")
    found: dict[str, str] = {}
    for place in filter(None, (part.strip() for part in command.adapters.split(","))):
        name = Path(place).name
        if name in found:
            raise CommandLineError(f"two adapters named {name}", "names that differ, since files are named by them",
                                   "rename or copy one of the folders")  # fmt: skip
        found[name] = place
    if not found:
        raise CommandLineError("--adapters without an adapter", "one or more with commas", "give --adapters A,B")
    return found


def _onnx_adapters(command: ExportCommand, base: Base, several: dict[str, str]) -> Outcome:
    """Writes one file whose inputs are the adapters."""
    import lvtune
    from lvtune.export.onnx_writing import SUFFIX, TOLERANCE

    loaded = {name: lvtune.load_adapter(place, base) for name, place in several.items()}
    kinds = {name: command.category for name, one in loaded.items() if one.bank is not None and command.category}
    if command.category and not kinds:
        raise CommandLineError(f"--category {command.category} for adapters that read no sentences", "no category",
                               "leave --category out")  # fmt: skip
    out = Path(command.out) if command.out else Path("lvtune-out") / "export" / f"{base.name}-adapters{SUFFIX}"
    say(f"writing {out}, and comparing it with PyTorch under each adapter")
    tolerance = TOLERANCE if command.tolerance is None else command.tolerance
    found = lvtune.export_onnx_adapters(base, loaded, out, categories=kinds, tolerance=tolerance)
    checked = found.facts["checked"]
    sizes = [f"{name} ({size / 1e6:.1f} MB)" for name, size in found.bytes.items() if name != out.name]
    lines = [
        f"{base.name} with {len(loaded)} adapters as inputs ({found.inputs} tensors beside the pictures)",
        *(_line(name, found.facts["outputs"][name]["shape"], row) for name, row in checked["outputs"].items()),
        f"onnxruntime {checked['onnxruntime']}, batches of {', '.join(map(str, checked['batches']))}",
        f"written: {out} ({found.bytes[out.name] / 1e6:.1f} MB) and {', '.join(sizes)}",
        "",
        f"use it: python examples/onnx_predict.py {shell_word(out)} PICTURE "
        f"{shell_word(out.with_name(f'{out.stem}.{next(iter(loaded))}.safetensors'))}",
    ]
    return Outcome({**asdict(found), "file": str(found.file)}, "\n".join(lines))


def _check_out(command: ExportCommand, out: Path) -> None:
    """Raises a UsageError where a file that is written would be one that is read."""
    from lvtune.core.errors import UsageError
    from lvtune.export.onnx_writing import FACTS_SUFFIX, SUFFIX
    from lvtune.storage.output_folder import check_output, files_at

    if command.format == "onnx" and out.suffix != SUFFIX:
        named = f"{out}{SUFFIX}" if out.name.strip(".") else str(out / f"pose{SUFFIX}")
        raise UsageError(
            f"--out {shell_word(out)} for an ONNX model",
            f"a name that ends in {SUFFIX}",
            f"say --out {shell_word(named)}",
        )
    several = list(_several(command).items())
    inputs = [*files_at(command.weights, command.adapter), *files_at(*(place for _, place in several))]
    # whatever a folder for transformers has, it is named like a file of another one
    written = [out, Path(f"{out}{FACTS_SUFFIX}"), *(out / file.name for file in inputs)]
    written += [out.with_name(f"{out.stem}.{name}.safetensors") for name, _ in several]
    check_output(out if command.format == "transformers" else out.parent, written, files=inputs)


def _onnx(command: ExportCommand, base: Base, adapter: Adapter | None, out: Path) -> Outcome:
    from lvtune.export.onnx_file import export_onnx
    from lvtune.export.onnx_writing import SUFFIX, TOLERANCE

    out = out if command.out else out.with_name(out.name + SUFFIX)
    data = _int8_data(command, base, adapter)
    say(f"writing {out}, and comparing it with PyTorch")
    tolerance = TOLERANCE if command.tolerance is None else command.tolerance
    found = export_onnx(
        base, adapter, out, category=command.category, sentence=command.sentence, tolerance=tolerance,
        calibration=command.calibration,
    )  # fmt: skip
    checked = found.facts["checked"]
    batches = ", ".join(map(str, checked["batches"]))
    outputs = found.facts["outputs"]
    lines = [
        _what(base, adapter, (found.facts["adapter"] or {}).get("category"), found.merged),
        *(_line(name, outputs[name]["shape"], figures) for name, figures in checked["outputs"].items()),
        f"onnxruntime {checked['onnxruntime']}, batches of {batches}",
        _confidence(found.facts["calibration"]),
        f"written: {out} ({found.bytes / 1e6:.1f} MB) and {', '.join(n for n in found.files if n != out.name)}",
        "",
        f"use it: python examples/onnx_predict.py {shell_word(out)} PICTURE",
    ]
    values = {**asdict(found), "file": str(found.file)}
    if data is not None:
        small, more = _int8(command, base, out, data)
        return Outcome({**values, "int8": small}, "\n".join([*lines[:-2], *more, *lines[-2:]]))
    return Outcome(values, "\n".join(lines))


def _check_int8(command: ExportCommand) -> None:
    """Raises an error for options that do not go together, before anything is computed."""
    if command.int8 and command.format != "onnx":
        raise CommandLineError("--int8 for a folder for transformers", "--format onnx with it", "leave --int8 out")
    if command.int8 and command.calibrate is None:
        raise CommandLineError("--int8 without pictures to calibrate with", "your own pictures, or a domain",
                               "give --calibrate DIR")  # fmt: skip
    if command.calibrate is not None and not command.int8:
        raise CommandLineError("--calibrate without --int8", "both", "give --int8 too, or leave --calibrate out")


def _int8_data(command: ExportCommand, base: Base, adapter: Adapter | None) -> Int8Data | None:
    """Opens the pictures for the 8-bit model before anything is written; None: it is not wanted."""
    if not command.int8 or command.calibrate is None:
        return None
    from lvtune.api.int8_export import open_data

    skeleton = base.skeleton if adapter is None else adapter.skeleton
    return open_data(base, skeleton, command.calibrate, boxes=command.boxes, pictures=command.pictures)


def _int8(command: ExportCommand, base: Base, model: Path, data: Int8Data) -> tuple[dict[str, Any], list[str]]:
    """Writes the 8-bit model; returns its figures and the lines that are printed."""
    from lvtune.api.int8_export import make_int8
    from lvtune.cli.output import number, table

    say("making the 8-bit model, and comparing the two")
    found = make_int8(base, model, data, max_loss=command.max_loss)
    sides = (found.float32, found.int8)
    rows = [["size in MB", *(number(side.megabytes) for side in sides)]]
    rows += [["ms a picture", *(number(side.milliseconds) for side in sides)]]
    rows += [[name, *(number(side.scores.get(name)) for side in sides)] for name in found.float32.scores]
    lines = ["", f"8 bits: {found.file}; {found.what}", table(["", "float32", "int8"], rows)]
    lines.append(
        f"loss {found.loss:.2f} of {found.main}, at most {found.max_loss:g}; time on {counted(found.threads, 'thread')}"
    )
    return found.to_dict(), lines


def _transformers(command: ExportCommand, base: Base, adapter: Adapter | None, out: Path) -> Outcome:
    from lvtune.export.own_sentence import resolve_sentence
    from lvtune.export.transformers_folder import save_transformers

    if command.calibration != "auto":
        raise CommandLineError("--calibration for a folder for transformers", "--format onnx with it", "leave it out")
    if command.tolerance is not None:
        raise CommandLineError("--tolerance for a folder for transformers", "--format onnx with it", "leave it out")
    adapter, category = resolve_sentence(base, adapter, command.category, command.sentence)
    found = save_transformers(base, adapter, out, category=category)
    lines = [
        _what(base, adapter, category, merged=True),
        f"largest difference from base and adapter {found.deviation:.1e}, largest value {found.largest:.3g}",
        f"written: {out} ({', '.join(found.files)})",
        "",
        f"use it: transformers.VitPoseForPoseEstimation.from_pretrained({str(out)!r})",
    ]
    return Outcome({**asdict(found), "folder": str(found.folder)}, "\n".join(lines))


def _line(name: str, shape: list[int | str], figures: dict[str, float]) -> str:
    sizes = ", ".join(map(str, shape))
    far, largest = figures["difference"], figures["largest"]
    return f"{name} ({sizes}): largest difference from PyTorch {far:.1e}, largest value {largest:.3g}"


def _confidence(calibration: dict[str, Any] | None) -> str:
    """Returns a sentence on what the file says of the confidence."""
    if calibration is None:
        return "confidence: the maxima of the heatmaps; the file holds no calibration (docs/confidence.md)"
    return f"confidence: the file's lvtune.calibration turns peaks into P(within {calibration['within']})"


def _what(base: Base, adapter: Adapter | None, category: str | None, merged: bool) -> str:
    """Returns a sentence that says what was written."""
    if adapter is None:
        return f"{base.name} alone"
    for_domain = f" for {adapter.domain}" if adapter.domain else ""
    inside = "merged into the weights" if merged else "computed beside them"
    reads = f", reading {category or 'mean'}" if adapter.bank is not None else ""
    return f"{base.name} with {adapter.method}{for_domain}, {inside}{reads}"


WRITERS: dict[str, Callable[[ExportCommand, Base, Adapter | None, Path], Outcome]] = {
    "onnx": _onnx,
    "transformers": _transformers,
}
"""Maps ``--format`` to the function that writes it."""
