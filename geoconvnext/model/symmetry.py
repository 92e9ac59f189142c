"""Test-time augmentation by the symmetries of the square."""

from collections.abc import Callable

from torch import Tensor, int16, uint8


def mean_over_symmetries(forward: Callable[[Tensor], Tensor], windows: Tensor) -> Tensor:
    """Mean of the results over the 8 flips and quarter turns of windows.

    forward: (N, C, H, W) to uint8 (N, K, s*H, s*W).
    """
    total: Tensor | None = None
    for flipped in (False, True):
        turned = windows.flip(3) if flipped else windows
        for turns in range(4):
            result = forward(turned.rot90(turns, (2, 3)).contiguous()).rot90(-turns, (2, 3))
            result = (result.flip(3) if flipped else result).to(int16)
            total = result if total is None else total + result
    assert total is not None
    return ((total + 4) // 8).to(uint8).contiguous()
