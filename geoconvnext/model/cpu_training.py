"""What makes training on a processor faster."""

import torch
from torch import Tensor, nn

from geoconvnext.heap import keep_freed_memory


class Float32Depthwise(nn.Conv2d):
    """Depthwise convolution that stays in float32 under autocast.

    On processors its bfloat16 backward pass takes more than twice as long (tools/bench/depthwise.py).
    """

    def forward(self, features: Tensor) -> Tensor:
        """Filter in the kernel's precision; the result has the precision of `features`."""
        with torch.autocast(features.device.type, enabled=False):
            return super().forward(features.to(self.weight.dtype)).to(features.dtype)


def prepare_cpu_training(net: nn.Module) -> None:
    """Make training on a processor faster: float32 depthwise convolutions, freed memory kept for reuse."""
    for module in net.modules():
        if type(module) is nn.Conv2d and module.groups == module.in_channels > 1:
            module.__class__ = Float32Depthwise
    keep_freed_memory()
