"""Converts key points to heatmaps and back, without bias.

Source: UDP (Huang et al., CVPR 2020, arXiv:1911.07524), refined by DARK (Zhang et al., CVPR 2020,
arXiv:1910.06278); numbers of mmpose 1.x `UDPHeatmap`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lvtune.core.errors import UsageError
from lvtune.data.heatmap_blur import blurred_at, blurred_near, peaks_and_squares

FLOOR, CEILING = 1e-3, 50.0  # what a heatmap is clipped to before its logarithm
LEAST_CURVED, LONGEST = 1e-3, 1.5
"""Of a clear peak: least determinant of the second derivatives of the logarithm, and longest step in pixels. Rounding
would move other peaks, which are noise or flat."""
_MOVES = ((0, 0), (1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, -1))
"""x, y from the peak to the pixels of its parabola."""


@dataclass(frozen=True)
class UDPHeatmap:
    """Encodes key points as Gaussian heatmaps and decodes heatmaps, vectorised, on any device.

    Args:
        input_size: (h, w) of the network input in pixels.
        heatmap_size: (h, w) of the heatmap.
        sigma: standard deviation of the Gaussian in heatmap pixels.
        blur_kernel: odd width of the Gaussian blur before decoding.
    """

    input_size: tuple[int, int] = (256, 192)
    heatmap_size: tuple[int, int] = (64, 48)
    sigma: float = 2.0
    blur_kernel: int = 11

    def __post_init__(self) -> None:
        sizes = (*self.input_size, *self.heatmap_size)
        if len(sizes) != 4 or min(sizes) < 2 or self.sigma <= 0 or self.blur_kernel % 2 != 1:
            raise UsageError(
                f"UDPHeatmap(input_size={self.input_size}, heatmap_size={self.heatmap_size}, "
                f"sigma={self.sigma}, blur_kernel={self.blur_kernel})",
                "sizes (h, w) of at least 2 pixels, a positive sigma and an odd blur_kernel",
                "type UDPHeatmap(input_size=(256, 192), heatmap_size=(64, 48), sigma=2.0)",
            )

    def encode(self, keypoints: Tensor, visible: Tensor) -> tuple[Tensor, Tensor]:
        """Draws one Gaussian for each key point.

        Args:
            keypoints: (B, K, 2) x, y in input pixels; arrays are accepted.
            visible: (B, K), 0 = unlabelled; COCO's 1 and 2 both count as 1.

        Returns:
            heatmaps (B, K, h, w) and weights (B, K), float32. The weight is 0, and the heatmap empty, where
            the point is unlabelled or not finite or its Gaussian (3 sigma) lies wholly outside. (In the
            reference a Gaussian that ends just outside the left or upper edge keeps its weight.)

        Raises:
            LvtuneError: shapes other than these.
        """
        keypoints = torch.as_tensor(keypoints, dtype=torch.float32)
        visible = torch.as_tensor(visible, dtype=torch.float32, device=keypoints.device)
        _check_shape(keypoints, "keypoints", "(B, K, 2)", keypoints.ndim == 3 and keypoints.shape[-1] == 2)
        _check_shape(visible, "visible", f"(B, K) = {tuple(keypoints.shape[:2])}", visible.shape == keypoints.shape[:2])
        (H, W), (h, w) = self.input_size, self.heatmap_size
        finite = keypoints.isfinite().all(-1)
        step = keypoints.new_tensor([(W - 1) / (w - 1), (H - 1) / (h - 1)])
        mu = torch.where(finite[..., None], keypoints, 0.0) / step
        # The window sits on the centre rounded as the reference does, truncating towards zero.
        center, radius = (mu + 0.5).trunc(), int(self.sigma * 3)
        gaussians, inside = [], finite & (visible >= 0.5)
        for axis, length in enumerate((w, h)):
            grid = torch.arange(length, dtype=torch.float32, device=mu.device)
            window = (grid - center[..., axis, None]).abs() <= radius
            line = torch.exp(-((grid - mu[..., axis, None]) ** 2) / (2 * self.sigma**2))
            gaussians.append(line * window)
            inside = inside & window.any(-1)
        heatmaps = gaussians[1][..., :, None] * (gaussians[0] * inside[..., None])[..., None, :]
        return heatmaps, visible.clamp(max=1.0) * inside

    def decode(self, heatmaps: Tensor) -> tuple[Tensor, Tensor]:
        """Finds the peak of each heatmap to a fraction of a pixel.

        Args:
            heatmaps: (B, K, h, w), any floating type.

        Returns:
            keypoints (B, K, 2) x, y in input pixels, and scores (B, K), the raw maxima; float32. A heatmap
            without a positive value has no peak to refine: its plain argmax is returned. Values that are
            not finite come out as key points and scores that are not finite.

        Raises:
            LvtuneError: a shape that does not fit `heatmap_size`.
        """
        heatmaps = torch.as_tensor(heatmaps).detach().float()
        _check_shape(
            heatmaps,
            "heatmaps",
            f"(B, K, {self.heatmap_size[0]}, {self.heatmap_size[1]})",
            heatmaps.ndim == 4 and tuple(heatmaps.shape[2:]) == tuple(self.heatmap_size),
        )
        (H, W), (h, w) = self.input_size, self.heatmap_size
        maps = heatmaps.flatten(0, 1)
        if maps.device.type == "cpu" and maps.numel():
            index, squares = peaks_and_squares(maps, self.blur_kernel)
            scores = squares[squares.shape[0] // 2, squares.shape[1] // 2]
            step = self._steps(maps, scores, index, squares)
        else:  # elsewhere blurring whole maps takes no longer, and nothing waits
            scores, index = maps.flatten(1).max(-1)
            step = self._exact_steps(maps, scores, index)
        step = torch.where((scores > 0)[:, None], step, step * 0.0)
        points = (torch.stack([index % w, index // w], -1) + step) / heatmaps.new_tensor([w - 1, h - 1])
        # × input_size, not input_size − 1: the reference's asymmetry, undone by `crop.to_image`.
        points = points * heatmaps.new_tensor([W, H])
        return points.view(*heatmaps.shape[:2], 2), scores.view(heatmaps.shape[:2])

    def _steps(self, maps: Tensor, top: Tensor, peak: Tensor, squares: Tensor) -> Tensor:
        """Returns (N, 2), the steps from the pixels of the peaks (N,) to the peaks, in pixels of the maps (N, h, w).

        Blurring lowers a peak, so the reference scales the map back to its old height and clips it, before it takes the
        logarithm. A factor above 1 adds a constant to a logarithm, and the step does not see it. So where nothing is
        clipped the highest blurred value, which takes the blur of a whole map, is not needed.
        """
        values = blurred_near(squares, peak, _MOVES, self.blur_kernel, self.heatmap_size)
        with np.errstate(all="ignore"):  # where a blurred value is 0 or below
            step, curved = _newton_step(values.log().numpy())
        is_sure = (values.numpy().min(0) >= FLOOR) & (top.numpy() <= CEILING) & (np.abs(curved) >= LEAST_CURVED)
        unsure = np.flatnonzero(~(is_sure & (np.abs(step).max(-1) <= LONGEST)))
        step = torch.from_numpy(step)
        if len(unsure):
            step[unsure] = self._exact_steps(maps[unsure], top[unsure], peak[unsure])
        return step

    def _exact_steps(self, maps: Tensor, top: Tensor, peak: Tensor) -> Tensor:
        values, highest = blurred_at(maps, peak, peak.new_tensor(_MOVES), self.blur_kernel)
        ratio = torch.where(highest > 0, top / highest, torch.ones_like(top))
        return _newton_step((values * ratio).clamp(FLOOR, CEILING).log())[0]


def _newton_step(values: Any) -> tuple[Any, Any]:
    """Returns the step (N, 2) from a pixel to the peak of the parabola through `values` (7, N), and its determinant.

    On the processor the values are an array: on few numbers, torch's operations take several times as long as numpy's.
    """
    here, right, left, below, above, corner, opposite = values
    dx, dy = 0.5 * (right - left), 0.5 * (below - above)
    dxx, dyy = right - 2 * here + left, below - 2 * here + above
    dxy = 0.5 * (corner - right - below + here + here - left - above + opposite)
    # float64: the determinant of a nearly flat peak cancels in float32. Apple's devices have none.
    if isinstance(values, np.ndarray):
        library, stacked = np, np.stack([dx, dy, dxx, dyy, dxy]).astype(np.float64)
    else:
        wide = torch.float32 if values.device.type == "mps" else torch.float64
        library, stacked = torch, torch.stack([dx, dy, dxx, dyy, dxy]).to(wide)
    dx, dy, dxx, dyy, dxy = stacked
    eps = float(np.finfo(np.float32).eps)
    dxx, dyy = dxx + eps, dyy + eps
    det = dxx * dyy - dxy * dxy
    step = library.stack([dyy * dx - dxy * dy, dxx * dy - dxy * dx], -1)
    is_flat = (det == 0)[..., None]
    step = library.where(is_flat, 0.0, -step / library.where(is_flat, 1.0, det[..., None]))
    return (step.astype(np.float32) if library is np else step.float()), det


def _check_shape(tensor: Tensor, name: str, expected: str, good: bool) -> None:
    if not good:
        raise UsageError(
            f"{name} of shape {tuple(tensor.shape)}",
            f"{name} of shape {expected}",
            "check input_size and heatmap_size of the codec, both (h, w), and the batch dimension",
        )
