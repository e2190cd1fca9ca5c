"""Points the Hub client of this process at a Hub on this machine."""

from __future__ import annotations

import os

TOKEN = "hf_secret_of_ann"


def client_at(hub, tmp_path, monkeypatch):
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
