"""Every way a download can fail has its own sentence, comes quickly, and leaves nothing broken behind."""

from __future__ import annotations

import contextlib
import hashlib
import time

import pytest
from adapter_samples import adapter
from hub_store import git_oid, put
from mutants import changed_values

from lvtune.cli.main import main
from lvtune.core.errors import LvtuneError
from lvtune.hub.address import Address
from lvtune.hub.remote import fetch, pull_adapter
from lvtune.storage.adapter_file import TENSORS_FILE, read, save

ART = Address("ann/art")


@pytest.fixture
def folder(tmp_path):
    return save(*adapter(), tmp_path / "art")


@pytest.fixture
def art(hub, folder):
    put(hub, "ann/art", folder)
    return hub


@pytest.fixture
def _no_waiting(monkeypatch):
    """The client waits between its own attempts."""
    monkeypatch.setattr(time, "sleep", lambda seconds: None)


def error_of(address=ART):
    with pytest.raises(LvtuneError) as caught:
        fetch(address)
    assert "hf_secret" not in str(caught.value)
    return str(caught.value)


def test_no_such_repository(art, login):
    assert "ann/nothing, neither a folder here nor a repository that the Hub shows to everyone (401)" in error_of(
        Address("ann/nothing")
    )
    login("ann")
    assert "ann/nothing, neither a folder here nor a repository that the Hub shows to you (404)" in error_of(
        Address("ann/nothing")
    )


def test_private(hub, folder, login):
    put(hub, "ann/secret", folder, private=True)
    assert "if it is private, type `hf auth login`, or set HF_TOKEN" in error_of(Address("ann/secret"))
    login("bob")
    assert "that your token may read" in error_of(Address("ann/secret"))


def test_a_token_that_is_not_valid(art, login):
    login("carol")
    assert "a token that the Hub does not know (401)" in error_of()


def test_a_token_that_may_not(art, login):
    login("ann")
    art.fail("GET", "/api/models/", 403)
    assert "a token that may not read ann/art (403)" in error_of()


def test_gated(art, login):
    art.repos["ann/art"].gated = True
    message = error_of()
    assert "lets in only those who asked" in message
    assert f"ask for it at {art.url}/ann/art" in message


def test_no_such_revision_names_those_there_are(art):
    art.repos["ann/art"].tags["v1"] = art.repos["ann/art"].branches["main"]
    message = error_of(Address("ann/art", "v2"))
    assert "revision 'v2', which ann/art does not have; expected one of main, v1;" in message
    art.fail("GET", "/refs", 403)
    assert "expected one of its branches, tags and commits" in error_of(Address("ann/art", "v2"))


@pytest.mark.parametrize(
    ("status", "words"),
    [(429, "too many requests to the Hub (429)"), (500, "out of order (500)"), (418, "which the Hub refuses (418)")],
)
def test_other_refusals(art, status, words):
    art.fail("GET", "/api/models/", status)
    assert words in error_of()


def test_no_network(hub, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    words = "ann/art, which is no folder here: the Hub at http://127.0.0.1:9 cannot be reached (ConnectError"
    assert words in error_of()


def test_something_else_answers(art):
    art.fail("HEAD", "/resolve/", 200)
    assert "that is not the Hub's" in error_of()


def test_an_answer_that_is_no_json(hub):
    hub.fail("GET", "/api/models/", 204)
    assert "that is not the Hub's" in error_of()


@pytest.mark.usefixtures("_no_waiting")
def test_a_connection_that_drops_for_good(art):
    art.fail("GET", "/lfs/", drop_after=10, times=1)
    art.fail("GET", "/lfs/", drop_after=0)
    assert "a download of ann/art that broke off (RemoteProtocolError" in error_of()
    art.faults.clear()
    assert read(fetch(ART))[0].keys() == adapter()[0].keys(), "nothing broken was kept"


@pytest.mark.usefixtures("_no_waiting")
def test_a_connection_that_drops_is_taken_up_again(art):
    art.fail("GET", "/lfs/", drop_after=100, times=1)
    assert read(fetch(ART))[0].keys() == adapter()[0].keys()
    assert len([path for path in art.paths() if path.startswith("/lfs/")]) == 2


def test_damage_on_the_way_is_mended_by_a_second_download(art):
    art.fail("GET", "/lfs/", corrupt=True, times=1)
    assert read(fetch(ART))[0].keys() == adapter()[0].keys()


@pytest.mark.parametrize("what", ["/lfs/", "/resolve/.*json"])
def test_damage_that_stays_is_told_and_not_kept(art, what):
    art.fail("GET", what, corrupt=True)
    assert "a damaged download of ann/art" in error_of()
    assert "twice arrived with another hash than the Hub names" in error_of()
    art.faults.clear()
    assert read(fetch(ART))[0].keys() == adapter()[0].keys()


def test_damage_in_the_cache_is_mended(art):
    file = fetch(ART) / TENSORS_FILE
    data = file.read_bytes()
    file.resolve().write_bytes(data[:-1] + b"\xff")
    assert read(fetch(ART))[0].keys() == adapter()[0].keys()


def test_an_adapter_that_was_damaged_before_it_was_pushed(hub, folder, tmp_path):
    data = (folder / TENSORS_FILE).read_bytes()
    (folder / TENSORS_FILE).write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    put(hub, "ann/art", folder)
    with pytest.raises(LvtuneError, match="sha256 differs"):
        pull_adapter("ann/art", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_repository_without_an_adapter(hub, folder):
    (folder / TENSORS_FILE).rename(folder / "pytorch_model.bin")
    put(hub, "ann/model", folder)
    message = error_of(Address("ann/model"))
    assert "which holds lvtune_config.json, pytorch_model.bin (pickles can run code and are not read)" in message
    assert not [path for path in hub.paths() if "/resolve/" in path]


def test_a_config_without_end_is_not_downloaded(hub, folder):
    (folder / "lvtune_config.json").write_bytes(b" " * (2**24 + 1))
    put(hub, "ann/art", folder)
    assert "lvtune_config.json of 16,777,217 bytes" in error_of()


def test_names_that_the_client_refuses(hub):
    assert "'ann/a--b', which is no repository's name" in error_of(Address("ann/a--b"))


def test_a_push_in_between_gives_one_commit_or_the_other(art, folder, tmp_path):
    """Asked twice, the Hub answers with two commits; what is read is the second, whole."""
    newer = save(*adapter(2.0), tmp_path / "newer")
    real, seen = art.files, []

    def files(repo, revision, user):
        found = real(repo, revision, user)
        if not seen:
            seen.append(put(art, "ann/art", newer))
        return found

    art.files = files
    assert read(fetch(ART))[0]["a"][0] == 2.0


@pytest.mark.parametrize("command", ["inspect", "pull", "predict"])
def test_commands_say_it_in_one_line(hub, capsys, command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    place = {"predict": ["x.jpg", "--adapter", "ann/nothing"]}.get(command, ["ann/nothing"])
    assert main([command, *place]) == 1
    out, err = capsys.readouterr()
    (message,) = [line for line in err.splitlines() if line.startswith("error: ")]
    assert out == ""
    assert "ann/nothing, neither a folder here nor a repository" in message


def test_a_file_that_went_in_between(art):
    art.fail("HEAD", TENSORS_FILE, 404, headers={"X-Error-Code": "EntryNotFound"})
    assert "a file of ann/art that is gone" in error_of()


@pytest.fixture
def _impatient(monkeypatch):
    """Limits of a second, and reads of a third of one."""
    monkeypatch.setattr("lvtune.core.hub_limits.SECONDS", 1.0)
    monkeypatch.setattr("lvtune.core.hub_limits.BYTES_PER_SECOND", 10**6)
    for name in ("HF_HUB_DOWNLOAD_TIMEOUT", "HF_HUB_ETAG_TIMEOUT"):
        monkeypatch.setattr(f"huggingface_hub.constants.{name}", 0.3)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)


def is_clean(tmp_path):
    """Nothing half-way lies in the cache."""
    blobs = [file for file in tmp_path.glob("hub-cache/**/*") if file.is_file() and ".locks" not in file.parts]
    whole = {hashlib.sha256(file.read_bytes()).hexdigest() for file in blobs}
    whole |= {git_oid(file.read_bytes()) for file in blobs}
    return not [file for file in blobs if file.parent.name == "blobs" and file.name not in whole]


@pytest.mark.usefixtures("_impatient")
@pytest.mark.parametrize("where", ["HEAD /resolve/", "GET /resolve/.*json", "GET /lfs/"])
def test_a_server_that_says_nothing(art, where, tmp_path):
    method, path = where.split()
    art.fail(method, path, silent=True)
    assert "ann/art" in error_of()
    assert is_clean(tmp_path)
    art.faults.clear()
    assert read(fetch(ART))[0].keys() == adapter()[0].keys()


@pytest.mark.usefixtures("_impatient")
@pytest.mark.parametrize("drip", ["headers", "body"])
@pytest.mark.parametrize("path", ["/api/models/", "/lfs/", "/resolve/.*json"])
def test_a_server_that_sends_a_byte_now_and_then(art, drip, path, tmp_path):
    art.fail("GET", path, drip=drip)
    assert "no whole answer from" in error_of()
    assert is_clean(tmp_path)
    art.faults.clear()
    assert read(fetch(ART))[0].keys() == adapter()[0].keys()


@pytest.mark.usefixtures("_impatient")
@pytest.mark.parametrize("path", ["/api/models/", "/lfs/", "/resolve/.*json"])
def test_a_body_without_end(art, path, tmp_path, monkeypatch):
    monkeypatch.setattr("lvtune.core.hub_limits.SECONDS", 60.0)
    monkeypatch.setattr("lvtune.core.hub_limits.MOST_OF_AN_ANSWER", 10**6)
    art.fail("GET", path, endless=True)
    assert "bytes that were declared" in error_of()
    assert art.sent < 2**27, "what the system keeps in its buffers, and no more"
    assert is_clean(tmp_path)
    art.faults.clear()
    assert read(fetch(ART))[0].keys() == adapter()[0].keys()


@pytest.mark.parametrize("path", ["/api/models/", "/lfs/", "/resolve/.*json"])
def test_a_body_that_unpacks_to_more_than_was_declared(art, path, tmp_path):
    art.fail("GET", path, squeezed=True)
    assert "a compressed answer" in error_of()
    assert is_clean(tmp_path)


@pytest.mark.usefixtures("_no_waiting")
def test_a_server_that_tells_to_wait_for_years(art, monkeypatch):
    waits = []
    monkeypatch.setattr(time, "sleep", waits.append)
    art.fail("HEAD", "/resolve/", 429, headers={"Retry-After": "999999999"}, times=3)
    art.fail("GET", "/lfs/", 429, headers={"RateLimit": '"api";r=0;t=999999999'}, times=1)
    assert read(fetch(ART))[0].keys() == adapter()[0].keys()
    assert waits and max(waits) <= 10


def test_limits_end_with_the_transfer(art):
    """Another thread, and this one afterwards, asks without them."""
    from huggingface_hub import get_session

    fetch(ART)
    answer = get_session().get(f"{art.url}/api/models/ann/art")
    assert answer.request.headers["Accept-Encoding"] != "identity"


def test_seconds_from_the_environment(art, monkeypatch):
    monkeypatch.setenv("LVTUNE_HUB_TIMEOUT", "soon")
    assert "LVTUNE_HUB_TIMEOUT = 'soon'" in error_of()
    monkeypatch.setenv("LVTUNE_HUB_TIMEOUT", "300")
    fetch(ART)


@pytest.mark.usefixtures("_impatient")
@pytest.mark.parametrize("kind", ["silent", "drip"])
def test_bases_come_within_the_same_limits(hub, tmp_path, kind, monkeypatch):
    from lvtune.bases.base_registry import load_base

    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "config.json").write_text("{}")
    (tmp_path / "base" / "model.safetensors").write_bytes(b"x" * 1000)
    put(hub, "ann/base", tmp_path / "base")
    how = {"silent": True} if kind == "silent" else {"drip": "body"}
    for method in ("HEAD", "GET"):
        hub.fail(method, "/resolve/|/lfs/", **(how if method == "GET" or kind == "silent" else {}))
    for name in ("vitpose-b", "pvtv2pose-b"):
        with pytest.raises(LvtuneError, match="ann/base"):
            load_base(name, weights="ann/base")


def test_only_errors_of_ours_come_out_of_answers_of_other_shapes(art):
    answers = []
    art.fail("GET", "/api/models/", twist=lambda value: answers.append(value) or value, times=1)
    fetch(ART)
    for changed in changed_values(answers[0], 300, seed=0):
        art.faults.clear()
        art.fail("GET", "/api/models/", twist=lambda value, changed=changed: changed)
        with contextlib.suppress(LvtuneError):
            fetch(ART)
    art.faults.clear()
    assert read(fetch(ART))[0].keys() == adapter()[0].keys()
