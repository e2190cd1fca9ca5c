"""Takes the pictures of docs/demo.md: `lvtune demo` in headless Chromium. Needs playwright and Chromium."""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parents[1]
PHOTOS = ROOT / "lvtune/domains/demo_art/images"
ONE, TWO = "im03118.jpg", "im02869.jpg"
BOXES = "10, 12, 66, 160; 58, 24, 42, 142"
COLOURS = 128


def main() -> None:
    """Writes docs/demo-picture.png and docs/demo-boxes.png."""
    port = 7861
    command = [sys.executable, "-m", "lvtune", "demo", "--port", str(port)]
    page = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        while "open http" not in (page.stderr.readline() if page.stderr else ""):
            time.sleep(0.1)
        with sync_playwright() as play, tempfile.TemporaryDirectory() as home:
            place, flags = shutil.which("chromium"), ["--no-sandbox"]
            browser = play.chromium.launch(executable_path=place, env={"HOME": home}, args=flags)
            tab = browser.new_page(viewport={"width": 1180, "height": 800})
            tab.goto(f"http://127.0.0.1:{port}/")
            tab.set_input_files("#picture input[type=file]", str(PHOTOS / ONE))
            tab.wait_for_selector("#notes li")
            tab.click("#attach")
            tab.get_by_text("Right: with").wait_for()
            tab.wait_for_timeout(1500)
            save(tab.screenshot(), ROOT / "docs/demo-picture.png")
            tab.click("#picture button[aria-label^=Remove]")
            tab.get_by_label("boxes by hand").check()
            tab.set_input_files("#picture input[type=file]", str(PHOTOS / TWO))
            tab.wait_for_timeout(1500)
            tab.fill("#boxes textarea, #boxes input", BOXES)
            tab.click("#run")
            tab.wait_for_timeout(2500)
            save(tab.screenshot(), ROOT / "docs/demo-boxes.png")
            browser.close()
    finally:
        page.terminate()


def save(png: bytes, path: Path) -> None:
    """Writes a picture with few colours, which is a fifth of the size."""
    Image.open(io.BytesIO(png)).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)
    print(path, path.stat().st_size)


if __name__ == "__main__":
    main()
