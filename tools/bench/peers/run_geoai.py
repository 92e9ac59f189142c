"""geoai-py: its tiled prediction, with blending."""

import geoai.utils  # noqa: F401  # predict_geotiff imports it, for seconds
from geoai.inference import predict_geotiff
from meter import Counted, Job, measure


def run(job: Job, net: Counted) -> None:
    """Write the class with the larger probability."""
    predict_geotiff(
        net,
        str(job.scene),
        str(job.output),
        tile_size=job.tile_px,
        overlap=job.overlap_px,
        batch_size=job.batch,
        num_classes=2,
        output_dtype="uint8",
        output_nodata=255,
        blend_mode="spline",
        postprocess_fn=lambda probabilities: probabilities.argmax(0),
        device="cpu",
        verbose=False,
    )


if __name__ == "__main__":
    measure(run)
