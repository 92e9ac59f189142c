"""geo-inference: TorchScript of probabilities from bytes, its own patches and blending, no vectors."""

import torch
from geo_inference.geo_inference import GeoInference
from meter import Job, measure


class FromBytes(torch.nn.Module):
    """A network as it wants it."""

    def __init__(self, net: torch.nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Probabilities (N, 2, H, W) of pixels in 0..255."""
        return torch.softmax(self.net(image.float() / 255.0), dim=1)


class Tool:
    """The tool with its network; counts the windows."""

    def __init__(self, job: Job) -> None:
        self.folder = job.output.with_suffix("")
        self.folder.mkdir(exist_ok=True)
        path = self.folder / "network.pt"
        torch.jit.script(FromBytes(torch.jit.load(job.network))).save(path)
        self.inference = GeoInference(
            model=str(path), work_dir=str(self.folder), mask_to_vec=False, device="cpu", num_classes=2
        )
        self.net = self.inference.model
        self.inference.model = self
        self.windows = 0

    def __call__(self, image: torch.Tensor) -> torch.Tensor:
        """Count and run."""
        self.windows += len(image)
        return self.net(image)


def run(job: Job, tool: Tool) -> None:
    """Predict, and move what it names itself to where it is wanted."""
    name = tool.inference(
        inference_input=str(job.scene), bands_requested=[], patch_size=job.tile_px, workers=2
    )
    (tool.folder / name).replace(job.output)


if __name__ == "__main__":
    measure(run, load=Tool)
