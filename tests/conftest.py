"""Same conditions for every test: fixed seeds, no network, a cache of its own, one thread."""

from __future__ import annotations

import asyncio
import gc
import os
import random
import shutil
import tempfile
from pathlib import Path

# before anything of Hugging Face is imported, which reads them once
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_DATASETS_OFFLINE"] = "1"
os.environ["LVTUNE_CACHE"] = tempfile.mkdtemp(prefix="lvtune-test-")

import numpy as np
import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _fixed_seeds():
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def _no_progress_by_chance(monkeypatch):
    """On a busy machine anything may take longer than two seconds; tests of progress set the limit themselves."""
    monkeypatch.setattr("lvtune.core.work_progress.AFTER", float("inf"))


@pytest.fixture(scope="module", autouse=True)
def _no_event_loop_is_left():
    """A loop that a file leaves running makes every later `asyncio.run` fail."""
    yield
    assert asyncio._get_running_loop() is None, "a fixture of this file keeps an event loop"


@pytest.fixture(scope="session", autouse=True)
def _small_gates():
    """Runs look at the fewest pictures that give a gate; its own tests look at more."""
    from lvtune.api import gating

    gating.MOST = gating.LEAST


@pytest.fixture(scope="session", autouse=True)
def _no_cache_is_left():
    yield
    shutil.rmtree(os.environ["LVTUNE_CACHE"], ignore_errors=True)


def pytest_collection_finish():
    """Libraries and tests are never garbage: a run, which collects garbage, need not look through them each time."""
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(items):
    """Marks the tests that tests/slow_tests.txt lists as slow."""
    here = Path(__file__).parent
    slow = {line for line in (here / "slow_tests.txt").read_text().splitlines() if not line.startswith("#")}
    for item in items:
        name = (
            f"tests/{item.path.relative_to(here).as_posix()}::{item.originalname}" if here in item.path.parents else ""
        )
        if name in slow:
            item.add_marker(pytest.mark.slow)
