"""Keeps what these tests put into the cache in a folder of their own."""

import pytest


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("LVTUNE_CACHE", str(folder))
    return folder
