"""A mouse in a video: poses in every frame, speed compared with the bare base, memory over time, two mice told apart.

    python benchmarks/openfield_video.py check OUT                 # of lvtune predict VIDEO --find pose --out OUT
    python benchmarks/openfield_video.py speed VIDEO ADAPTER [THREADS]    # frames a second, compared with the bare base
    python benchmarks/openfield_video.py memory VIDEO ADAPTER      # the video once and ten times over
    python benchmarks/openfield_video.py two VIDEO ADAPTER ALONE   # two mice; ALONE: results of the video as it is

Criterion of ``check``: from one frame to the next, no key point moves further than the animal's length (snout to tail
base, the median over the video). A mouse is 8 to 9 cm long there. At 30 frames a second this is 2.6 m/s, a little less
than the top speed of house mice (about 3.5 m/s).
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import torch

import lvtune
from lvtune.data.video_frames import read_frames, video_info
from lvtune.data.video_range import FrameRange
from lvtune.hub.adapter_loading import load_base_for
from lvtune.prediction.video_options import VideoOptions
from lvtune.viz.video_writer import VideoWriter

CHUNK = 8  # crops in a forward pass, as in a video


def table_of(out: Path):
    import pandas

    return pandas.read_csv(out / "poses.csv")


def names_of(table) -> list[str]:
    return [
        name[: -len("_score")]
        for name in table.columns
        if name.endswith("_score") and name not in ("box_score", "mean_score")
    ]


def points_of(table) -> np.ndarray:
    """(N, K, 2)."""
    return np.stack([table[[f"{name}_x", f"{name}_y"]].to_numpy() for name in names_of(table)], 1)


def check(out: str) -> None:
    table = table_of(Path(out))
    names, points, frames = names_of(table), points_of(table), table.frame.to_numpy()
    body = np.median(np.hypot(*(points[:, names.index("snout")] - points[:, names.index("tailbase")]).T))
    last = int(frames.max())
    print(f"frames with a pose: {len(set(frames))} of {last + 1}; tracks: {table.track.nunique()}")
    print(f"animal's length: {body:.1f} px (median)")
    steps = np.hypot(*np.moveaxis(np.diff(points, axis=0), -1, 0)) / np.diff(frames)[:, None]
    for i, name in enumerate(names):
        worst = int(steps[:, i].argmax())
        print(f"{name}: median step {np.median(steps[:, i]):.2f} px, 99.9 % {np.quantile(steps[:, i], 0.999):.1f} px, "
              f"largest {steps[worst, i]:.1f} px = {steps[worst, i] / body:.2f} lengths (frame {frames[worst + 1]}), "
              f"steps over one length: {(steps[:, i] > body).sum()}")  # fmt: skip
    wanted = np.linspace(0, last, 10).astype(int)
    shown = [frame.image for frame in read_frames(Path(out) / "overlay.mp4") if frame.number in wanted]
    rows = [np.concatenate(shown[i : i + 5], 1) for i in (0, 5)]
    sheet = Path(out) / "ten-frames.png"
    cv2.imwrite(str(sheet), np.concatenate(rows, 0)[::2, ::2, ::-1])
    print(f"ten frames: {sheet}")


def speed(video: str, adapter: str, threads: str = "2", turn: int = 300) -> None:
    """Predicts the whole video; after every ``turn`` frames the plain base alone runs as many, so that a busy machine
    slows both alike. The first search, decoding and all files but overlay.mp4 are counted; opening is not.
    """
    torch.set_num_threads(int(threads))
    base = load_base_for(adapter, "vitpose-ti", "pretrained")
    crops = torch.randn(CHUNK, 3, *base.input_size)
    _alone(base, crops, 4 * CHUNK)  # warms up
    with tempfile.TemporaryDirectory() as folder:
        opened = time.perf_counter()
        run = lvtune.predict_stream(
            video, base="vitpose-ti", adapter=adapter, find="pose", out=folder, video=VideoOptions(overlay=False)
        )
        opening = time.perf_counter() - opened
        turns, count, begun = [], 0, _clocks()
        for count, _ in enumerate(run, 1):
            if count % turn == 0:
                turns.append((turn, _clocks() - begun, _alone(base, crops, turn)))
                begun = _clocks()
        rest = count % turn  # the files are written here
        turns.append((rest, _clocks() - begun, _alone(base, crops, rest)))
    frames, spent, alone = (sum(part[i] for part in turns) for i in range(3))
    for name, used, plain in zip(("second", "second of processor time"), spent, alone, strict=True):
        print(f"frames a {name}: {frames / used:.1f}, the plain base alone {frames / plain:.1f}: "
              f"ratio {plain / used:.3f}", flush=True)  # fmt: skip
    ratios = ", ".join(f"{plain[0] / used[0]:.2f}" for _, used, plain in turns)
    print(f"{frames} frames; opening base and adapter took {opening:.1f} s more; ratios of the turns: {ratios}")


def _clocks() -> np.ndarray:
    """Seconds on the clock and of processor time."""
    return np.array([time.perf_counter(), time.process_time()])


def _alone(base, crops: torch.Tensor, count: int) -> np.ndarray:
    """What the plain base takes for so many crops, as predict runs it with the flip test: each and its mirror image."""
    begun = _clocks()
    with torch.inference_mode():
        for start in range(0, count, len(crops)):
            some = crops[: count - start]
            base(some)
            base(some.flip(-1))
    return _clocks() - begun


MEASURED = """
import resource, sys
import lvtune
from lvtune.data.video_range import FrameRange
from lvtune.hub.adapter_loading import load_base_for
from lvtune.prediction.video_options import VideoOptions

def now():
    return int(next(line for line in open("/proc/self/status") if "VmRSS" in line).split()[1]) / 1024

video, adapter, out, stop = sys.argv[1:]
options = VideoOptions(stop=stop, every=2)
run = lvtune.predict_stream(video, adapter=adapter, find="pose", flip_test=False, out=out, video=options)
rows = [now() for i, _ in enumerate(run) if i % 150 == 149]
print(", ".join(f"{value:.0f}" for value in rows), f"MB after every 150 predicted frames; at the end {now():.0f} MB,",
      "largest", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024, "MB")
"""


def memory(video: str, adapter: str, seconds: int = 10) -> None:
    """The first seconds of the video once, and ten times one after the other; every second frame is predicted."""
    with tempfile.TemporaryDirectory() as folder:
        long = Path(folder) / "ten.mp4"
        writer = VideoWriter(long, video_info(video).rate)
        for repeat in range(10):
            for frame in read_frames(video, FrameRange(0, seconds)):
                writer.write(frame.image, repeat * seconds + frame.time)
        writer.close()
        for name, stop in (("once", seconds), ("ten times", 10 * seconds)):
            script = [sys.executable, "-c", MEASURED, str(long), adapter, f"{folder}/{stop}", str(stop)]
            done = subprocess.run(script, capture_output=True, text=True, check=True)
            print(f"{seconds} s of the video {name}: {done.stdout.strip()}", flush=True)


def two(video: str, adapter: str, alone: str) -> None:
    table = table_of(Path(alone))
    truth = points_of(table)[np.argsort(table.frame.to_numpy())]
    later, count = 900, 300  # the second mouse is the first one, 30 s later
    base = load_base_for(adapter, "vitpose-ti", "pretrained")
    tuned = lvtune.load_adapter(adapter, base)
    frames = [frame.image for frame in read_frames(video)][: later + count]
    for name, compose, shift in (
        ("side by side", lambda a, b: np.concatenate([a, b], 1), frames[0].shape[1]),
        ("in one arena", np.minimum, 0),
    ):
        with tempfile.TemporaryDirectory() as folder:
            both = Path(folder) / "two.mp4"
            writer = VideoWriter(both, 30)
            for i in range(count):
                writer.write(compose(frames[i], frames[later + i]), i / 30)
            writer.close()
            options = VideoOptions(individuals=2)
            poses = lvtune.predict(both, base=base, adapter=tuned, find="pose", flip_test=False, video=options)
        expected = np.stack([truth[:count], truth[later : later + count] + np.array([shift, 0])], 1)
        found = np.full((count, 2, *truth.shape[1:]), np.nan)
        for pose in poses:
            found[pose.frame, pose.track - 1] = pose.keypoints
        report(name, found, expected)


def report(name: str, found: np.ndarray, expected: np.ndarray) -> None:
    """Says how often track 1 and 2 lie on the mouse on which they lie most of the time."""
    far = np.abs(found[:, :, None] - expected[:, None]).max(-1).mean(-1)  # (frames, tracks, mice)
    seen = np.isfinite(far).all((1, 2))
    as_they_are = far[:, 0, 0] + far[:, 1, 1] <= far[:, 0, 1] + far[:, 1, 0]
    order = [0, 1] if as_they_are[seen].mean() >= 0.5 else [1, 0]
    own = np.stack([far[:, t, order[t]] for t in (0, 1)], 1)
    other = np.stack([far[:, t, 1 - order[t]] for t in (0, 1)], 1)
    apart = np.hypot(*np.moveaxis(expected.mean(2)[:, 0] - expected.mean(2)[:, 1], -1, 0))
    kept = (own < other).all(1)
    swaps = int((np.diff(kept[seen].astype(int)) != 0).sum())
    print(f"{name}: both found in {100 * seen.mean():.1f} % of {len(far)} frames, "
          f"ids kept in {100 * kept.mean():.1f} %, {swaps} changes, median error {np.nanmedian(own):.1f} px, "
          f"mice nearer than 60 px in {100 * (apart < 60).mean():.1f} % of the frames", flush=True)  # fmt: skip


if __name__ == "__main__":
    {"check": check, "speed": speed, "memory": memory, "two": two}[sys.argv[1]](*sys.argv[2:])
