"""One page for all tests that need a server."""

import pytest
import tiny
from demo_samples import a_browser, need_gradio, running_page

import lvtune


@pytest.fixture(scope="session")
def page(tmp_path_factory):
    """A page with two adapters of vitpose-ti: `mural` reads sentences, `mouse` does not."""
    need_gradio()
    folder = tmp_path_factory.mktemp("page")
    base = lvtune.load_base("vitpose-ti")
    for method, name, stirred in (("vlpose", "mural", 0.1), ("bitfit", "mouse", 0.3)):
        lvtune.save_adapter(tiny.make_adapter(method, base, stirred=stirred), folder / name, base)
    with running_page(folder / "run", str(folder / "mural"), str(folder / "mouse"), "--seconds", "0.5",
                      "--max-pixels", "4000000", "--max-megabytes", "1") as running:  # fmt: skip
        yield running


@pytest.fixture(scope="module")
def browser():
    """Headless Chromium. Only one file has it: Playwright keeps an event loop, beside which `asyncio.run` fails."""
    with a_browser() as chromium:
        yield chromium
