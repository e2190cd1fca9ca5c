"""Key points of a picture by a file that `lvtune export` wrote: onnxruntime, numpy, OpenCV, safetensors.

    python examples/onnx_predict.py pose.onnx PICTURE                       # lvtune export --adapter A --out pose.onnx
    python examples/onnx_predict.py pose.onnx PICTURE pose.A.safetensors    # lvtune export --adapters A,B

How to read it stands in the file itself. The picture is one person; without PICTURE it is one that ships with lvtune.
"""

import json
import sys
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
from safetensors import safe_open

model, *rest = sys.argv[1:]
picture, *adapter = rest or [Path(__file__).parents[1] / "lvtune/domains/demo_art/images/im00007.jpg"]
session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
entries, tensors = session.get_modelmeta().custom_metadata_map, {}
for file in adapter:  # its tensors are inputs; its entries say what its key points are
    with safe_open(file, "np") as one:
        entries, tensors = one.metadata(), {name: one.get_tensor(name) for name in one.keys()}  # noqa: SIM118
facts = {name[7:]: json.loads(value) for name, value in entries.items() if name.startswith("lvtune.")}
height, width = facts["input"]["shape"][2:]

# in: a crop of the input's aspect around the box, whose corner pixels' centres fall on those of the input
image = cv2.cvtColor(cv2.imread(str(picture)), cv2.COLOR_BGR2RGB)
center = np.array([image.shape[1], image.shape[0]]) / 2
size = 2 * center * facts["crop"]["padding_of_whole_pictures"]
size = np.maximum(size, size[::-1] * [width / height, height / width])
zoom = np.array([width - 1, height - 1]) / size
matrix = np.column_stack([np.diag(zoom), zoom * (size / 2 - center)])
crop = cv2.warpAffine(image, matrix, (width, height), flags=cv2.INTER_LINEAR) / 255
pixels = ((crop - facts["input"]["mean"]) / facts["input"]["std"]).transpose(2, 0, 1)[None].astype(np.float32)
maps = session.run(["heatmaps"], {"pixel_values": pixels, **tensors})[0][0]  # (K, h, w)

# out: the summit of a parabola through the logarithm of each blurred map, around its highest pixel
(K, h, w), how = maps.shape, facts["decode"]
scores, (y, x) = maps.max((1, 2)), np.divmod(maps.reshape(K, -1).argmax(1), w)
blurred = [cv2.GaussianBlur(m, (how["blur_kernel"],) * 2, 0, borderType=cv2.BORDER_CONSTANT) for m in maps]
highest = np.max(blurred, (1, 2))
blurred *= np.divide(scores, highest, out=np.ones(K), where=highest > 0)[:, None, None]
logs = np.log(np.clip(blurred, how["floor"], how["ceiling"]), dtype=np.float64)


def at(dx: int, dy: int) -> np.ndarray:
    return logs[np.arange(K), np.clip(y + dy, 0, h - 1), np.clip(x + dx, 0, w - 1)]


gx, gy, eps = (at(1, 0) - at(-1, 0)) / 2, (at(0, 1) - at(0, -1)) / 2, np.finfo(np.float32).eps
xx, yy = at(1, 0) - 2 * at(0, 0) + at(-1, 0) + eps, at(0, 1) - 2 * at(0, 0) + at(0, -1) + eps
xy = (at(1, 1) - at(1, 0) - at(0, 1) + 2 * at(0, 0) - at(-1, 0) - at(0, -1) + at(-1, -1)) / 2
step = np.stack([yy * gx - xy * gy, xx * gy - xy * gx], 1) / (xx * yy - xy**2)[:, None]
summit = np.stack([x, y], 1) - np.where(scores[:, None] > 0, step, 0)  # nothing rises where nothing is found
points = summit / [w - 1, h - 1] * size + center - size / 2
for name, (px, py), score in zip(facts["skeleton"]["keypoints"], points, scores, strict=True):
    print(f"{name:<16}{px:8.2f}{py:8.2f}{score:8.3f}")
