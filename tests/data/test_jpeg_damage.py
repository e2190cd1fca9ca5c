"""A JPEG that is damaged in its middle is told by its name, once, and stops a run where that is asked for."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from torch.utils.data import DataLoader

from lvtune.core.errors import DataError
from lvtune.data.images import read_image, read_reduced
from lvtune.data.jpeg_damage import damaged_pictures, listen
from lvtune.data.worker_errors import CarryErrors, collate_or_error, raise_carried

PHOTO = Path(__file__).parents[1] / "samples/coco/val2017/000000000785.jpg"


@pytest.fixture
def damaged(tmp_path):
    """A JPEG whose data break off in the middle and go on elsewhere."""
    data = bytearray(PHOTO.read_bytes())
    middle = len(data) // 2
    del data[middle : middle + 3000]
    file = tmp_path / "a\x1b[31m photo.jpg"
    file.write_bytes(data)
    return file


def test_it_is_told_once_by_name_and_nothing_reaches_stderr(damaged, caplog, capfd):
    with damaged_pictures("note") as told:
        for _ in range(3):
            assert read_image(damaged).shape == read_image(PHOTO).shape
        read_reduced(damaged, 8)
        (said,) = told()
    assert "photo.jpg may be damaged" in said and "Corrupt JPEG data" in said and "\x1b" not in said
    assert len(caplog.records) == 1 and said in caplog.text
    assert capfd.readouterr().err == ""


def test_a_run_may_be_told_to_stop(damaged):
    with damaged_pictures("stop"):
        read_image(PHOTO)
        with pytest.raises(DataError, match="damaged; the decoder says") as caught:
            read_image(damaged)
    assert "--data.damaged note" in caught.value.fix
    read_image(damaged)  # outside it is a note again


def test_every_sample_picture_is_sound():
    root = Path(__file__).parents[2]
    files = [*(root / "lvtune/domains/demo_art/images").glob("*.jpg"), *(root / "tests/samples").rglob("*.jpg")]
    with damaged_pictures("stop"):
        for file in files[:40]:
            read_reduced(file, 8)


def test_what_others_write_to_stderr_still_arrives(capfd):
    def decode():
        os.write(2, b"Corrupt JPEG data: bad Huffman code\nsomebody else\n")
        return 1

    assert listen(decode) == (1, "Corrupt JPEG data: bad Huffman code")
    assert capfd.readouterr().err == "somebody else\n"
    with pytest.raises(KeyError):
        listen(lambda: {}["x"])
    os.write(2, b"stderr is back\n")
    assert capfd.readouterr().err == "stderr is back\n"


def test_threads_take_turns(damaged):
    found = []

    def work(file):
        found.extend((file.name, listen(lambda: read_bytes(file))[1]) for _ in range(5))

    def read_bytes(file):
        import cv2

        return cv2.imdecode(np.frombuffer(file.read_bytes(), np.uint8), cv2.IMREAD_REDUCED_COLOR_8)

    threads = [threading.Thread(target=work, args=(file,)) for file in (PHOTO, damaged) * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {name for name, said in found if said} == {damaged.name}
    assert all(bool(said) == (name == damaged.name) for name, said in found)


def test_without_a_stderr(damaged):
    code = f"""
import os
from lvtune.data.images import read_image
os.close(2)
assert read_image({str(PHOTO)!r}).shape == (425, 640, 3)
print("read")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "read\n"


class Pictures:
    def __init__(self, file):
        self.files = [PHOTO, PHOTO, file, PHOTO]

    def __len__(self):
        return len(self.files)

    def __getitem__(self, item):
        return {"size": read_reduced(self.files[item], 8)[0].shape[0], "index": item}


@pytest.mark.parametrize("workers", [0, 1])
def test_errors_and_notes_come_out_of_the_processes_that_read(damaged, tmp_path, workers):
    loader = DataLoader(CarryErrors(Pictures(damaged)), batch_size=2, num_workers=workers, collate_fn=collate_or_error)
    with damaged_pictures("note") as told:
        sizes = [batch["size"].tolist() for batch in loader]
        assert sizes == [[54, 54], [54, 54]] and len(told()) == 1
    with damaged_pictures("stop"), pytest.raises(DataError) as caught:
        for batch in loader:
            raise_carried(batch)
    assert "photo.jpg: damaged" in caught.value.given and caught.value.fix
