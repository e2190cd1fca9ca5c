"""A Hub that cannot be reached is told at once; one that is slow, or a folder, is left to the libraries."""

import time

import huggingface_hub
import pytest
from huggingface_hub import constants

from lvtune.bases.base_registry import load_base
from lvtune.core.errors import LvtuneError
from lvtune.core.network import quick_failure, unreachable


@pytest.fixture
def online(monkeypatch):
    """Offline mode is off, and the Hub a port of this machine where nobody listens."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")


def test_no_connection_is_told_within_seconds(online):
    started = time.perf_counter()
    with pytest.raises(LvtuneError, match=r"no connection to http://127.0.0.1:9") as error:
        load_base("vitpose-b")
    assert time.perf_counter() - started < 10
    assert "--weights random" in error.value.fix
    assert constants.HF_HUB_OFFLINE is False


def test_a_folder_is_not_asked_about(online, tmp_path):
    with quick_failure(tmp_path) as why:
        assert why is None and constants.HF_HUB_OFFLINE is False
    with quick_failure("user/repo") as why:
        assert why and constants.HF_HUB_OFFLINE is True


@pytest.mark.parametrize("answer", ["late", "503"])
def test_a_slow_network_is_left_to_retries(online, monkeypatch, answer):
    class ReadTimeout(Exception):
        pass

    class Session:
        def head(self, url, timeout):
            if answer == "late":
                raise ReadTimeout("timed out")
            return 503

    monkeypatch.setattr(huggingface_hub, "get_session", Session)
    assert unreachable() is None
    with quick_failure("user/repo") as why:
        assert why is None and constants.HF_HUB_OFFLINE is False


def test_offline_mode_says_so():
    assert unreachable() == "offline mode is on (HF_HUB_OFFLINE)"
