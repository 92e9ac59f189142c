"""From a GeoTIFF on disk to polygons, against the network alone, and against other tools with its weights.

By default: wall time of `predict` over that of the network alone, as `predict` runs it and as torch compiles
it. That is given as many windows from memory, warm; loading it and imports are not counted. With --peers, on
a smaller scene: geoconvnext, which draws polygons, a plain loop and those tools that are installed, which
write a mask, all with the windows and the network of the weights file at scale 1 (the others run it as
TorchScript). The masks are compared with what the network finds if it sees the whole scene at once. Every
run is a process of its own, in turn.

    python tools/bench/endtoend.py --json endtoend.json
    python tools/bench/endtoend.py --peers --environments environments --json peers.json
"""

import argparse
import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import rasterio
import torch
from peers.rasters import BUILDING, count_wrong, profile
from peers.rounds import WINDOWS, Figures, Tool, installed_peers, interleave, last_line, script, table
from torch.nn import functional

from geoconvnext.data.synth import make_scene
from geoconvnext.inference import choose_view
from geoconvnext.model.net import BuildingNet
from geoconvnext.model.weights import default_weights_path, load_weights, read_info
from geoconvnext.raster.grid import STRIDE_PX

PIECE_PX = 2048
COLUMNS = {"wall_s": ".2f", "mpx_per_s": ".2f", "cpu_s": ".2f", "growth_gb": ".2f", "windows": ".0f"}


class TwoClasses(torch.nn.Module):
    """The network as other tools want it: logits of ground and building body, for pixels in 0..1."""

    def __init__(self, net: BuildingNet) -> None:
        super().__init__()
        self.net = net.eval().requires_grad_(requires_grad=False)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Logits (N, 2, H, W) of pixels (N, 3, H, W)."""
        body = self.net(image * 255, 1)["body"].float()
        return torch.cat([torch.zeros_like(body), body], 1)


def main() -> None:
    """Make the scene, run the rounds, print."""
    options = parse()
    compared = options.peers is not None
    side = round((options.megapixels or (2.25 if compared else 100)) ** 0.5 * 1000)
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        scene = Path(name).resolve() / "scene.tif"
        write_scene(scene, side, options.gsd)
        tools = list_peers(options, scene) if compared else list_bare(options, scene)
        tools = [replace(tool, read=partial(read_figures, megapixels=side**2 / 1e6)) for tool in tools]
        results = interleave(tools, options.rounds, scene.parent)
    about = {"side": side, "gsd_m": options.gsd, "weights": options.weights.name, "threads": options.threads}
    print(f"{', '.join(f'{key} {value}' for key, value in about.items())}, {options.rounds} rounds")
    columns = COLUMNS | ({"unlike_px": ",.0f"} if compared else {})
    print(table(results, columns, ratio="wall_s", reference="predict" if compared else "bare"))
    if options.json:
        results.write(options.json, rounds=options.rounds, **about)


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    help_windows = f"(px; default: what geoconvnext chooses; with --peers {WINDOWS})"
    parser.add_argument("--weights", type=Path, default=default_weights_path())
    parser.add_argument("--megapixels", type=float, help="of the scene (default: 100; with --peers 2.25)")
    parser.add_argument("--gsd", type=float, default=0.4, help="of the scene (m)")
    parser.add_argument("--scale", type=int, help="of the view (default: the one that suits)")
    parser.add_argument(
        "--windows", nargs=3, type=int, metavar=("TILE", "OVERLAP", "BATCH"), help=help_windows
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2, help="of torch, in every tool")
    parser.add_argument("--peers", nargs="*", help="compare with these (none named: all that are installed)")
    parser.add_argument("--environments", type=Path, help="where peers/install.py put them")
    parser.add_argument("--tuned", action="store_true", help="the peers' network in bf16, channels last")
    parser.add_argument("--folder", type=Path, help="for scene and results (default: temporary)")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    return parser.parse_args()


def write_scene(path: Path, side: int, gsd_m: float) -> None:
    """Write a drawn scene, repeated by reflection so that there are no seams."""
    size = min(side, PIECE_PX)
    piece = make_scene(0, height=size, width=size, gsd_m=gsd_m).image
    count = -(-side // size)
    with rasterio.open(path, "w", **profile(side, bands=3, gsd_m=gsd_m)) as file:
        for row in range(count):
            upright = piece[:, :: -1 if row % 2 else 1]
            pieces = [upright[:, :, :: -1 if col % 2 else 1] for col in range(count)]
            pixels = np.concatenate(pieces, axis=2)[:, : side - row * size, :side]
            file.write(pixels, window=((row * size, row * size + pixels.shape[1]), (0, side)))


def list_bare(options: argparse.Namespace, scene: Path) -> list[Tool]:
    """Return geoconvnext and its network alone, its own way and as torch compiles it, in the same windows."""
    scale = choose_view(read_info(options.weights), options.gsd, options.scale).scale
    how = (*(options.windows or (0, 0, 0)), scale, options.threads)
    outputs = {"bare": "none", "compiled": "none", "predict": "footprints.gpkg"}
    return [
        Tool(name, script(name, scene, scene.with_name(output), options.weights, *how))
        for name, output in outputs.items()
    ]


def list_peers(options: argparse.Namespace, scene: Path) -> list[Tool]:
    """Return the plain loop, geoconvnext and the peers, with the same windows."""
    network, whole = scene.with_name("network.pt"), scene.with_name("whole.tif")
    net = TwoClasses(load_weights(options.weights)[0])
    find_at_once(net, scene, whole)
    export(net, network, tuned=options.tuned)
    runs = {"reference": (network, None), "predict": (options.weights, None)}
    for name in installed_peers(options.environments, options.peers):
        runs[name] = (network, options.environments)
    how, tools = (*(options.windows or WINDOWS), 1, options.threads), []
    for name, (file, environments) in runs.items():
        mask = scene.with_name(f"{name}.tif")
        command = script(name, scene, mask, file, *how, environments=environments)
        check = partial(count_unlike, whole, mask, building=BUILDING.get(name, 1))
        tools.append(Tool(name, command, check=check))
    return tools


def find_at_once(net: TwoClasses, scene: Path, mask: Path) -> None:
    """Write the mask that the network gives where it sees the whole scene in one window."""
    with rasterio.open(scene) as file:
        image, layout = torch.from_numpy(file.read()).float().div_(255)[None], file.profile
    height, width = image.shape[2:]
    image = functional.pad(image, (0, -width % STRIDE_PX, 0, -height % STRIDE_PX), mode="reflect")
    with torch.inference_mode(), rasterio.open(mask, "w", **layout | {"count": 1}) as file:
        file.write(net(image).argmax(1).numpy().astype(np.uint8)[:, :height, :width])


def count_unlike(whole: Path, found: Path, *, building: int) -> Figures:
    """Count pixels that the windows changed."""
    return {"unlike_px": count_wrong(whole, found, building=building)["wrong_px"]}


def export(net: TwoClasses, path: Path, *, tuned: bool) -> None:
    """Write the network as TorchScript."""
    image = torch.zeros(1, 3, 512, 512)
    if tuned:
        net.to(torch.bfloat16, memory_format=torch.channels_last)
        image = image.to(memory_format=torch.channels_last)
    with torch.inference_mode():
        torch.jit.trace(net, image, check_trace=False).save(path)


def read_figures(printed: str, *, megapixels: float) -> Figures:
    """Read what meter.py prints, and add the speed."""
    figures = last_line(printed)
    return figures | {"mpx_per_s": megapixels / figures["wall_s"]}


if __name__ == "__main__":
    main()
