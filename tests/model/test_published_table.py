"""Sizes and costs published with ConvNeXt (arXiv 2201.03545) and ConvNeXt V2 (arXiv 2301.00808).

"FLOPs" are multiply-adds there. UPerNet: parameters include the auxiliary head, multiply-adds do not.
"""

from collections.abc import Callable
from decimal import Decimal

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from geoconvnext.model.decoder import AuxiliaryHead, UPerNetDecoder
from geoconvnext.model.encoder import ConvNeXtEncoder

SEGMENTATION = [  # encoder, width and height of the input, parameters / 1e6, multiply-adds / 1e9
    ("convnext_tiny", (2048, 512), "60.24", "938.5"),
    ("convnext_small", (2048, 512), "81.88", "1026.8"),
    ("convnext_base", (2048, 512), "122.10", "1169.3"),
    ("convnext_base", (2560, 640), "122.10", "1827.1"),
    ("convnext_large", (2560, 640), "234.99", "2457.4"),
    ("convnext_xlarge", (2560, 640), "391.14", "3334.3"),
    ("convnextv2_base", (2048, 512), "122", "1170"),
    ("convnextv2_large", (2048, 512), "235", "1572.7"),
    ("convnextv2_huge", (2048, 512), "706.8", "3271.7"),
]
CLASSIFICATION = [  # at 224 x 224, with the classifier for 1000 classes
    ("convnext_tiny", "28.6", "4.5"),
    ("convnext_small", "50", "8.7"),
    ("convnext_base", "89", "15.4"),
    ("convnext_large", "198", "34.4"),
    ("convnext_xlarge", "350", "60.9"),
    ("convnextv2_atto", "3.708", "0.547"),
    ("convnextv2_femto", "5.233", "0.780"),
    ("convnextv2_pico", "9.066", "1.367"),
    ("convnextv2_nano", "15.624", "2.446"),
    ("convnextv2_tiny", "28.635", "4.456"),
    ("convnextv2_base", "88.718", "15.355"),
    ("convnextv2_large", "197.957", "34.361"),
    ("convnextv2_huge", "660.290", "114.922"),
]


def agrees(ours: float, published: str) -> bool:
    """Within 0.5 %, or equal once rounded to the published digits."""
    exact = float(published)
    last_digit = 10.0 ** int(Decimal(published).as_tuple().exponent)
    return abs(ours - exact) <= max(0.005 * exact, 0.5 * last_digit)


def parameters_m(*modules: nn.Module) -> float:
    return sum(parameter.numel() for module in modules for parameter in module.parameters()) / 1e6


def multiply_adds_g(run: Callable[[], Tensor]) -> float:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        run()
    return float(counter.get_total_flops()) / 2e9


@pytest.mark.parametrize(("name", "size", "parameters", "multiply_adds"), SEGMENTATION)
def test_upernet(name: str, size: tuple[int, int], parameters: str, multiply_adds: str) -> None:
    classes = 150
    with torch.device("meta"):
        encoder = ConvNeXtEncoder(name).eval()
        decoder = UPerNetDecoder(encoder.channels, 512).eval()
        classifier = nn.Conv2d(512, classes, 1)
        auxiliary = AuxiliaryHead(encoder.channels[2], classes)
        image = torch.empty(1, 3, size[1], size[0])
    cost = multiply_adds_g(lambda: classifier(decoder(encoder(image))))
    assert abs(cost / float(multiply_adds) - 1) < 0.005
    assert abs(parameters_m(encoder, decoder, classifier, auxiliary) / float(parameters) - 1) < 0.005


@pytest.mark.parametrize(("name", "parameters", "multiply_adds"), CLASSIFICATION)
def test_backbone(name: str, parameters: str, multiply_adds: str) -> None:
    with torch.device("meta"):
        encoder = ConvNeXtEncoder(name).eval()
        norm, classifier = nn.LayerNorm(encoder.channels[-1]), nn.Linear(encoder.channels[-1], 1000)
        image = torch.empty(1, 3, 224, 224)
    cost = multiply_adds_g(lambda: classifier(norm(encoder(image)[-1].mean((2, 3)))))
    assert agrees(cost, multiply_adds)
    assert agrees(parameters_m(encoder, norm, classifier), parameters)
