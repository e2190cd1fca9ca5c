"""hf_xet knows none of our limits: it is left out while they hold, unless the user asks for it."""

from __future__ import annotations

import threading

import pytest
from huggingface_hub import constants

from lvtune.core.hub_limits import hub_limits


@pytest.fixture(autouse=True)
def _as_the_client_has_it(monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", False)
    monkeypatch.delenv("HF_HUB_DISABLE_XET", raising=False)


def test_it_is_off_inside_and_as_before_outside():
    with hub_limits("a test"):
        assert constants.HF_HUB_DISABLE_XET is True
        with hub_limits("within another"):
            assert constants.HF_HUB_DISABLE_XET is True
        assert constants.HF_HUB_DISABLE_XET is True
    assert constants.HF_HUB_DISABLE_XET is False
    with pytest.raises(KeyError), hub_limits("a test that fails"):
        raise KeyError
    assert constants.HF_HUB_DISABLE_XET is False


def test_threads_do_not_switch_it_on_for_each_other():
    first_is_in, second_is_out, seen = threading.Event(), threading.Event(), []

    def first():
        with hub_limits("first"):
            first_is_in.set()
            second_is_out.wait(30)
            seen.append(constants.HF_HUB_DISABLE_XET)

    thread = threading.Thread(target=first)
    thread.start()
    first_is_in.wait(30)
    with hub_limits("second"):
        seen.append(constants.HF_HUB_DISABLE_XET)
    second_is_out.set()
    thread.join()
    assert seen == [True, True] and constants.HF_HUB_DISABLE_XET is False


@pytest.mark.parametrize("said", ["0", "1"])
def test_whoever_sets_the_variable_decides(said, monkeypatch):
    monkeypatch.setenv("HF_HUB_DISABLE_XET", said)
    with hub_limits("a test"):
        assert constants.HF_HUB_DISABLE_XET is False  # as the client read it when it was imported
