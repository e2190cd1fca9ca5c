"""The real Hub client, talking to a Hub on this machine."""

from __future__ import annotations

import pytest
from hub_client import TOKEN, client_at
from hub_server import serve


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A Hub with the users ann and bob; nobody is logged in."""
    import huggingface_hub

    with serve() as made:
        made.users |= {TOKEN: "ann", "hf_secret_of_bob": "bob"}
        client_at(made, tmp_path, monkeypatch)
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
