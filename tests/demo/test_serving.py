"""The page's server: who may ask it for what, and what it leaves behind."""

import json
import socket
import sys
import urllib.error
import urllib.request

import pytest
from demo_samples import need_gradio, running_page

from lvtune.cli.main import main
from lvtune.core.errors import UsageError
from lvtune.demo.serving import FIRST_PORT, free_port, load_gradio

pytestmark = pytest.mark.filterwarnings("ignore")  # those of Gradio and its packages


def asked(url, **headers):
    # no proxy of the environment stands between us and ourselves
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(urllib.request.Request(url, headers=headers)) as answer:
            return answer.status, answer.headers, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read().decode()


def test_without_gradio_the_hint_says_what_to_type(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "gradio", None)
    with pytest.raises(UsageError, match=r"pip install 'lvtune\[demo\]'"):
        load_gradio()
    assert main(["demo", "no/such-adapter"]) == 1
    said = capsys.readouterr().err
    assert "pip install 'lvtune[demo]'" in said and "no/such-adapter" not in said and "Traceback" not in said


def test_a_taken_port_is_told_and_the_next_free_one_is_taken_by_itself():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=f"port {port} of 127.0.0.1") as error:
            free_port("127.0.0.1", port)
        assert error.value.fix == f"give --port {port + 1}"
    assert FIRST_PORT <= free_port("127.0.0.1", None) < FIRST_PORT + 100
    with pytest.raises(UsageError, match=r"--host 192\.0\.2\.1"):
        free_port("192.0.2.1", None)


def test_the_page_is_there_for_this_machine_alone(page):
    status, headers, text = asked(page.url)
    assert status == 200 and "lvtune demo" in text
    assert "default-src 'self'" in headers["content-security-policy"]
    assert asked(page.url, Host="evil.example")[0] == 400
    port = int(page.url.rstrip("/").rpartition(":")[2])
    for _, _, _, _, address in socket.getaddrinfo(socket.gethostname(), port, socket.AF_INET, socket.SOCK_STREAM):
        if not str(address[0]).startswith("127."):
            with socket.socket() as other, pytest.raises(OSError, match=r"refused|timed out"):
                other.settimeout(2)
                other.connect(address)


def test_no_file_but_its_own_and_no_other_door(page, tmp_path):
    secret = tmp_path / "secret.txt"
    secret.write_text("hidden words")
    for path in (str(secret), "/etc/passwd", "pyproject.toml", f"{page.folder}/tmp/../../../etc/passwd"):
        status, _, text = asked(f"{page.url}gradio_api/file={path}")
        assert status in (403, 404) and "root:" not in text and "hidden words" not in text
    for door in ("docs", "redoc", "openapi.json", "monitoring", "gradio_api/mcp/sse"):
        status, _, text = asked(f"{page.url}{door}")
        assert status != 200 or "lvtune demo" in text, door  # unknown paths may show the page itself
    info = json.loads(asked(f"{page.url}gradio_api/info")[2])
    assert not info["named_endpoints"] and not info["unnamed_endpoints"]


def test_ctrl_c_stops_it_and_nothing_stays_behind(tmp_path):
    with running_page(tmp_path / "run", "--base", "vitpose-ti") as page:
        assert asked(page.url)[0] == 200
        assert page.stop() == 0
        assert "vitpose-ti: no adapter" in page.said and "stopped" in page.said and "Traceback" not in page.said
    assert page.reached == "" and page.kept == []


def test_a_taken_port_ends_the_command_before_any_model_is_loaded(tmp_path, capsys):
    need_gradio()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main(["demo", "no/such-adapter", "--port", str(port)]) == 1
    said = capsys.readouterr().err
    assert f"port {port} of 127.0.0.1" in said and "no/such-adapter" not in said
