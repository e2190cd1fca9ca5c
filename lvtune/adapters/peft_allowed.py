"""The options of peft that lvtune passes on, per tuner, and the values that it accepts for them.

An adapter file is data from a stranger, and peft's configs can do much: name a package to import, name other adapters
to download, allocate by number, loop by number. So an option is passed on only if it is listed here. The rest is
refused, or ignored with a note where it changes nothing in an adapter that is loaded.
Source of the names: https://github.com/huggingface/peft, src/peft/tuners/*/config.py, version 0.21.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Mapping
from typing import Any

from lvtune.core.errors import AdapterFileError, LvtuneError, UsageError
from lvtune.core.registry import suggest
from lvtune.core.strict_json import short

_log = logging.getLogger(__name__)

COMMON = frozenset({
    "target_modules", "exclude_modules", "modules_to_save", "layers_to_transform", "layers_pattern", "fan_in_fan_out",
    "bias", "init_weights",
})  # fmt: skip
"""Options of most tuners."""

_LORA = "r lora_alpha lora_dropout use_rslora use_dora init_lora_weights rank_pattern alpha_pattern lora_bias"
_LYCORIS = "r alpha rank_dropout module_dropout use_effective_conv2d rank_pattern alpha_pattern"
_VERA = "r projection_prng_key save_projection d_initial"
ALLOWED: dict[str, frozenset[str]] = {
    tuner: COMMON | frozenset(names.split())
    for tuner, names in {
        "LORA": _LORA,
        "ADALORA": f"{_LORA} target_r init_r tinit tfinal deltaT beta1 beta2 orth_reg_weight total_step",
        "ADAMSS": "r num_subspaces subspace_rank use_asa asa_target_subspaces init_warmup final_warmup mask_interval "
        "asa_importance_beta asa_uncertainty_beta asa_schedule_exponent use_dynamic_rank svd_threshold random_seed",
        "BEFT": "",
        "BOFT": "boft_block_size boft_block_num boft_n_butterfly_factor boft_dropout",
        "C3A": "block_size block_size_pattern",
        "DEFT": "r decomposition_method init_scale alpha para deft_dropout",
        "DELORA": "r delora_lambda module_dropout rank_pattern lambda_pattern",
        "FOURIERFT": "n_frequency scaling random_loc_seed n_frequency_pattern",
        "GLORA": "r config_A_B config_C config_D_E",
        "GRALORA": "r hybrid_r alpha gralora_dropout gralora_k",
        "HIRA": "r hira_dropout rank_pattern",
        "HRA": "r apply_GS",
        "IA3": "feedforward_modules init_ia3_weights",
        "LILY": "r stride_A num_B scaling",
        "LN_TUNING": "",
        "LOHA": _LYCORIS,
        "LOKR": f"{_LYCORIS} decompose_both decompose_factor rank_dropout_scale",
        "MISS": "r miss_dropout mini_r",
        "OFT": "r oft_block_size module_dropout coft eps block_share use_cayley_neumann num_cayley_neumann_terms",
        "PEANUT": "r depth act_fn scaling",
        "PSOFT": "r psoft_alpha psoft_dropout ab_svd_init psoft_svd psoft_svd_lowrank_niter random_seed psoft_orth "
        "psoft_mag_b psoft_mag_a use_cayley_neumann num_cayley_neumann_terms cayley_neumann_eps",
        "PVERA": f"{_VERA} pvera_dropout sample_at_inference generator_seed",
        "RANDLORA": "r projection_prng_key save_projection sparse very_sparse randlora_dropout randlora_alpha",
        "ROAD": "variant group_size",
        "SHIRA": "r mask_type random_seed",
        "TINYLORA": "r u weight_tying projection_seed save_projection init_v_bound tinylora_dropout",
        "UNILORA": "r proj_seed theta_d_length unilora_dropout init_theta_d_bound save_indices",
        "VBLORA": "r num_vectors vector_length topk save_only_topk_weights vblora_dropout init_vector_bank_bound "
        "init_logits_std",
        "VERA": f"{_VERA} vera_dropout",
        "WAVEFT": "n_frequency scaling wavelet_family use_idwt random_loc_seed n_frequency_pattern "
        "proportional_parameters",
    }.items()
}
"""Tuner to the options of its config that are passed on; a tuner that is not here is refused."""

NEEDS_DATA = frozenset({"ADAMSS", "BOFT", "UNILORA"})
"""Tuners that look at weights while they are made, so that their shapes are not known without making them."""

INERT = frozenset({
    "corda_config", "ensure_weight_tying", "eva_config", "loftq_config", "lora_ga_config", "megatron_core",
    "qalora_group_size",
})  # fmt: skip
"""Options that change nothing in an adapter that is loaded: how it was initialised, or a part of one that is off."""

NAMES = frozenset({"target_modules", "exclude_modules", "modules_to_save", "feedforward_modules", "layers_pattern"})
"""Options that name modules; :mod:`lvtune.adapters.peft_names` checks and resolves them."""
PATTERNS = frozenset({
    "rank_pattern", "alpha_pattern", "lambda_pattern", "n_frequency_pattern", "block_size_pattern",
})  # fmt: skip
"""Options that map names of modules to numbers."""
_SEEDS = frozenset({"projection_prng_key", "projection_seed", "proj_seed", "random_loc_seed", "random_seed",
                    "generator_seed"})  # fmt: skip
_LOOPS = {
    "boft_n_butterfly_factor": 16, "decompose_factor": 4096, "depth": 64, "num_cayley_neumann_terms": 100,
    "psoft_svd_lowrank_niter": 100,
}  # fmt: skip
"""Options that are counted in loops, to the most that is accepted."""
MOST = 65_536
"""The largest number of most options: no layer here is as wide."""
_MOST = {**_LOOPS, **dict.fromkeys(_SEEDS, 2**63 - 1), "n_frequency": 2**26, "total_step": 2**31}
_WORD = re.compile(r"[A-Za-z0-9_.\-]{0,40}")
_STARTS = frozenset({"gaussian", "orthogonal", "kaiming_uniform", "xavier_uniform", "bat", "mini", "lycoris", "pissa",
                     "olora"})  # fmt: skip
"""Ways to draw the first weights; the others of peft need data, or run as long as their name says."""
MOST_NAMES = 10_000


def kept_options(tuner: str, config: Mapping[str, Any], known: Mapping[str, Any], skipped: set[str]) -> dict[str, Any]:
    """Returns the options of an ``adapter_config.json`` that matter, and notes what is ignored.

    Args:
        tuner: such as ``LORA``.
        config: as read.
        known: the fields of peft's own config of this tuner, with their defaults.
        skipped: fields of every config that say nothing of the tuner.

    Raises:
        AdapterFileError: an option that peft has and that lvtune does not pass on, and that is not off.
    """
    kept: dict[str, Any] = {}
    ignored: list[str] = []
    for name, value in config.items():
        if name in skipped or (name in known and known[name] == value):
            continue
        if name in ALLOWED[tuner] and name in known:
            kept[name] = value
        elif name not in known or name in INERT:
            ignored.append(name)
        elif value is not False and value not in (None, {}, []):
            raise AdapterFileError(
                f"an adapter of peft with the option {short(name)}, which lvtune does not pass on",
                f"some of {', '.join(sorted(ALLOWED[tuner] & known.keys()))}",
                "save the adapter without it, or use peft itself",
            )
    ignored = [name for name in ignored if config[name]]
    if ignored:
        names = ", ".join(short(name, quote=False) for name in sorted(ignored)[:10])
        more = f" and {len(ignored) - 10} more" if len(ignored) > 10 else ""
        _log.warning("note: options of peft that change nothing here or are not known are ignored: %s%s", names, more)
    return kept


def check_tuner(tuner: str, known: Mapping[str, type]) -> None:
    """Raises a UsageError for a tuner that peft does not have, or that lvtune does not know to be safe.

    Args:
        tuner: such as ``LORA`` or ``lora``.
        known: peft's config classes by the names of their tuners, in capitals.
    """
    usable = [name.lower() for name in ALLOWED if name in known]
    if tuner.lower() not in usable:
        shown = short(tuner, quote=False)
        raise UsageError(
            f"unknown peft tuner '{shown}'", f"one of {', '.join(usable)}",
            suggest(shown.lower(), usable, "upgrade peft, or choose another tuner"),
        )  # fmt: skip


def check_values(tuner: str, values: Mapping[str, Any]) -> None:
    """Checks names and values of options before peft sees them.

    Raises:
        UsageError: an option that is not passed on, or a value of another kind or size than options have.
    """
    for name, value in values.items():
        if name not in ALLOWED[tuner]:
            raise UsageError(
                f"option 'method.options.{short(name, quote=False)}', which lvtune does not pass on to peft",
                f"some of {', '.join(sorted(ALLOWED[tuner]))}", "remove it",
            )  # fmt: skip
        if name in PATTERNS:
            _check_pattern(name, value)
        elif name not in NAMES:
            _check_value(name, value)


def _check_pattern(name: str, value: Any) -> None:
    if value is None:
        return
    if not isinstance(value, Mapping) or len(value) > MOST_NAMES:
        raise _refused(name, value, f"a table of at most {MOST_NAMES:,} names with numbers")
    for key, number in value.items():
        if not isinstance(key, str) or isinstance(number, bool) or not isinstance(number, int | float):
            raise _refused(name, {key: number}, "names with numbers")
        _check_number(name, number, _MOST.get(name.removesuffix("_pattern"), MOST))


def _check_value(name: str, value: Any) -> None:
    if value is None or isinstance(value, bool):
        return
    if isinstance(value, int | float):
        _check_number(name, value, _MOST.get(name, MOST))
    elif isinstance(value, list | tuple):
        if len(value) > MOST_NAMES or not all(type(item) is int for item in value):
            raise _refused(name, value, f"at most {MOST_NAMES:,} whole numbers")
    elif not isinstance(value, str) or not _WORD.fullmatch(value):
        raise _refused(name, value, "a number, true, false or a word")
    elif name.startswith("init_") and value not in _STARTS:
        raise _refused(name, value, f"true, false or one of {', '.join(sorted(_STARTS))}")


def _check_number(name: str, value: float, most: int) -> None:
    if not math.isfinite(value) or abs(value) > most:
        raise _refused(name, value, f"a number up to {most:,}")


def _refused(name: str, value: Any, expected: str) -> LvtuneError:
    return UsageError(f"method.options.{name} = {short(value, quote=False)}", expected, "change or remove it")
