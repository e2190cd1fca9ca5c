"""Names of modules in peft's configs, resolved against the base before peft sees them.

peft takes regular expressions in many places and matches them against every module. One from a stranger's file can
run for years, so they are matched here, with a limit of time, and peft gets plain names.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import regex

from lvtune.adapters.peft_allowed import MOST_NAMES, PATTERNS
from lvtune.core.errors import UsageError
from lvtune.core.strict_json import short

SECONDS = 5.0
"""How long all the regular expressions of one config may take together; real ones take milliseconds."""
ALL_LINEAR = "all-linear"
"""peft's own word for every linear layer."""
_PLAIN = re.compile(r"[\w.\-]*")
_COUNTED = re.compile(r"(?<!\))\{\d{1,2}(,\d{0,2})?\}")
_LONGEST = 1000


def resolve_names(values: Mapping[str, Any], modules: Sequence[str]) -> dict[str, Any]:
    """Returns the options with names of modules in place of regular expressions.

    Args:
        values: options of one of peft's configs.
        modules: names of all modules of the base.

    Raises:
        UsageError: names that are no text or too many; a regular expression that is not one, is of a kind that can
            take memory without end, or takes too long.
    """
    names, deadline = [name for name in modules if name], time.monotonic() + SECONDS
    result = dict(values)
    for option in ("target_modules", "exclude_modules", "feedforward_modules"):
        given = values.get(option)
        if isinstance(given, str) and not (option == "target_modules" and given.lower() == ALL_LINEAR):
            result[option] = _matching(option, f"(?:{given})", given, names, deadline)
        elif given is not None and not isinstance(given, str):
            result[option] = _named(option, given, names)
    for option in ("modules_to_save", "layers_pattern"):
        if values.get(option) is not None:
            result[option] = _plain(option, values[option])
    targets = result.get("target_modules")
    touched = names if not isinstance(targets, list) else [name for name in names if _ends(name, set(targets))]
    for option in PATTERNS & values.keys():
        if values[option]:
            result[option] = _by_name(option, values[option], touched, deadline)
    return result


def plain(name: str) -> str:
    """Returns the name of a module without what torch.compile and DistributedDataParallel put in."""
    name = name.replace("_orig_mod.", "")
    while name.startswith("module."):
        name = name.removeprefix("module.")
    return name


def _named(option: str, given: Any, names: Sequence[str]) -> list[str]:
    """Returns the given names that some module ends with, each once; all of them where none does."""
    listed = _texts(option, given)
    if option == "feedforward_modules":  # peft compares ends of names here, not of parts between dots
        found = [text for text in listed if any(name.endswith(text) for name in names)]
    else:
        ends = {end for name in names for end in _ends_of(name)}
        found = [text for text in listed if text in ends]
    return found or listed


def _plain(option: str, given: Any) -> list[str]:
    listed = _texts(option, [given] if isinstance(given, str) else given)
    wrong = [text for text in listed if not _PLAIN.fullmatch(text)]
    if wrong:
        raise UsageError(f"{option} with {short(wrong[0])}", "names of modules", f"correct {option}")
    return listed


def _texts(option: str, given: Any) -> list[str]:
    if not isinstance(given, list | tuple | set) or not all(isinstance(text, str) for text in given):
        raise UsageError(f"{option} = {short(given, quote=False)}", "names of modules", f"correct {option}")
    listed = list(dict.fromkeys(plain(text) for text in given))
    if len(listed) > MOST_NAMES:
        raise UsageError(f"{option} with {len(listed):,} names", f"at most {MOST_NAMES:,}", f"correct {option}")
    return listed


def _ends_of(name: str) -> Iterable[str]:
    parts = name.split(".")
    return (".".join(parts[start:]) for start in range(len(parts)))


def _ends(name: str, targets: set[str]) -> bool:
    return any(end in targets for end in _ends_of(name))


def _matching(option: str, pattern: str, given: str, names: Sequence[str], deadline: float) -> list[str]:
    """Returns the names that a regular expression matches as a whole."""
    compiled = _compiled(option, pattern, given)
    return [name for name in names if _matches(option, compiled, given, name, deadline)]


def _by_name(option: str, given: Mapping[str, Any], names: Sequence[str], deadline: float) -> dict[str, Any]:
    """Returns full name to number: of each name, that of the first pattern that matches, as peft chooses.

    Longer names stand first, since peft would match a shorter one with the end of a longer one.
    """
    patterns = {key: _compiled(option, rf"(?:.*\.)?(?:{key})", key) for key in given}
    found = {}
    for name in sorted(names, key=len, reverse=True):
        key = next((key for key, one in patterns.items() if _matches(option, one, key, name, deadline)), None)
        if key is not None:
            found[name] = given[key]
    return found


def _compiled(option: str, pattern: str, given: str) -> regex.Pattern[str]:
    rest = _COUNTED.sub("", given.replace("(?:", "("))
    if len(given) > _LONGEST or "(?" in rest or "{" in rest.replace(r"\{", ""):
        raise UsageError(
            f"the regular expression {short(given)} in {option}",
            "one of at most 1000 characters, without (?...) and without counts of more than two digits or of groups",
            f"name the modules in {option}",
        )
    try:
        return regex.compile(pattern)
    except (regex.error, RecursionError, OverflowError, ValueError) as error:
        raise UsageError(
            f"the regular expression {short(given)} in {option} ({short(error, quote=False)})", "names of modules",
            f"correct {option}",
        ) from None  # fmt: skip


def _matches(option: str, pattern: regex.Pattern[str], given: str, name: str, deadline: float) -> bool:
    left = deadline - time.monotonic()
    try:
        if left > 0:
            return pattern.fullmatch(name, timeout=left) is not None
    except (TimeoutError, RecursionError, MemoryError):
        pass
    raise UsageError(
        f"the regular expression {short(given)} in {option}, which took more than {SECONDS:g} s",
        "names of modules, or an expression that is quick to match", f"name the modules in {option}",
    )  # fmt: skip
