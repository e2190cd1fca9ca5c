"""A Hub that cannot be reached fails at once; one that is slow, or a folder, is left to the libraries."""

import threading

import huggingface_hub
import pytest
from huggingface_hub import constants

from lvtune.bases.base_registry import load_base
from lvtune.core.errors import LvtuneError
from lvtune.core.network import why_unreachable


@pytest.fixture
def online(monkeypatch):
    """Offline mode is off, and the Hub is a port of this machine where nobody listens."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")


@pytest.fixture
def requests(online, monkeypatch):
    """The requests for files that huggingface_hub makes; it would repeat each for about 45 s."""
    made = []

    def refuse(*args, **kwargs):
        made.append(args)
        raise AssertionError("a request to a Hub that cannot be reached")

    monkeypatch.setattr("huggingface_hub.file_download.get_hf_file_metadata", refuse)
    return made


@pytest.mark.parametrize("name", ["vitpose-b", "pvtpose-s", "timm:resnet18.a1_in1k"])
def test_no_connection_is_an_error_without_a_retry(requests, name):
    with pytest.raises(LvtuneError, match=r"no connection to http://127.0.0.1:9") as error:
        load_base(name)
    assert requests == []
    assert "--weights random" in error.value.fix


def test_weights_in_the_local_cache_load_without_connection(requests, monkeypatch, tmp_path):
    import timm
    from safetensors.torch import save_file

    hub_id = timm.get_pretrained_cfg("resnet18.a1_in1k").hf_hub_id
    repo = tmp_path / f"models--{hub_id.replace('/', '--')}"
    snapshot = repo / "snapshots" / ("a" * 40)
    snapshot.mkdir(parents=True)
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text("a" * 40)
    model = timm.create_model("resnet18", pretrained=False)
    model.bn1.bias.data.fill_(0.25)
    save_file({name: value.contiguous() for name, value in model.state_dict().items()}, snapshot / "model.safetensors")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    base = load_base("timm:resnet18.a1_in1k")
    assert requests == []
    assert {0.25} == {float(v) for v in base.model.state_dict()["encoder.backbone.bn1.bias"]}


def test_nothing_global_changes_while_another_thread_loads(requests):
    """Regression test: an earlier version set ``constants.HF_HUB_OFFLINE`` for all threads while it loaded."""
    seen, stop = set(), threading.Event()

    def watch():
        while not stop.is_set():
            seen.add(constants.HF_HUB_OFFLINE)

    watcher = threading.Thread(target=watch)
    watcher.start()
    with pytest.raises(LvtuneError):
        load_base("vitpose-b")
    stop.set()
    watcher.join()
    assert seen == {False}


def test_a_folder_needs_no_network(online, tmp_path):
    assert why_unreachable(tmp_path) is None
    assert "no connection" in why_unreachable("user/repo")


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
    assert why_unreachable("user/repo") is None


def test_offline_mode_is_named():
    assert why_unreachable("user/repo") == "offline mode is on (HF_HUB_OFFLINE)"
