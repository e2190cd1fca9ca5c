"""The real Hub client, talking to a Hub on this machine."""

from __future__ import annotations

import os

import pytest
from hub_server import serve

TOKEN = "hf_secret_of_ann"


def _client_at(hub, tmp_path, monkeypatch):
    """Settings that the client reads from the environment when it is imported, put where it looks for them."""
    import huggingface_hub
    from huggingface_hub import constants

    template = hub.url + "/{repo_id}/resolve/{revision}/{filename}"
    settings = {
        "ENDPOINT": hub.url,
        "HUGGINGFACE_CO_URL_TEMPLATE": template,
        "HF_HUB_CACHE": str(tmp_path / "hub-cache"),
        "HF_TOKEN_PATH": str(tmp_path / "no-token"),
        "HF_STORED_TOKENS_PATH": str(tmp_path / "no-tokens"),
        "HF_HUB_OFFLINE": False,
        "HF_HUB_DISABLE_XET": True,  # where it is installed the client uploads through it alone
        "HF_HUB_DISABLE_PROGRESS_BARS": True,
        "HF_HUB_DISABLE_TELEMETRY": True,
    }
    for name, value in settings.items():
        monkeypatch.setattr(constants, name, value)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name in [name for name in os.environ if name.startswith(("HF_TOKEN", "HUGGING_FACE_HUB", "HF_OIDC"))]:
        monkeypatch.delenv(name)
    huggingface_hub.close_session()  # the one at hand may have been made for proxies


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A Hub with the users ann and bob; nobody is logged in."""
    import huggingface_hub

    with serve() as made:
        made.users |= {TOKEN: "ann", "hf_secret_of_bob": "bob"}
        _client_at(made, tmp_path, monkeypatch)
        yield made
        huggingface_hub.close_session()


@pytest.fixture
def ann(hub, monkeypatch):
    """The same, with ann logged in."""
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    return hub


@pytest.fixture
def login(monkeypatch):
    """``login("bob")``; ``login(None)`` logs out."""

    def change(who):
        if who is None:
            monkeypatch.delenv("HF_TOKEN", raising=False)
        else:
            monkeypatch.setenv("HF_TOKEN", f"hf_secret_of_{who}")

    return change
