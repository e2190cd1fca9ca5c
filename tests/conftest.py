"""Same conditions for every test: fixed seeds, no network, a cache of its own, one thread."""

from __future__ import annotations

import os
import random
import shutil
import tempfile

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


@pytest.fixture(scope="session", autouse=True)
def _no_cache_is_left():
    yield
    shutil.rmtree(os.environ["LVTUNE_CACHE"], ignore_errors=True)
