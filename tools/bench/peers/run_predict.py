"""geoconvnext as its users run it: from a scene to polygons, with the network of a weights file.

It writes a GeoPackage; where a raster is wanted, the probabilities, too.
"""

import geoconvnext.heap  # noqa: F401 - first, as the command does

# isort: split
from meter import Job, measure

from geoconvnext.inference import Model, load_model
from geoconvnext.model.runtime import choose_placement
from geoconvnext.predict import predict
from geoconvnext.scenes import PredictOptions, open_scene


def load(job: Job) -> Model:
    """Load the weights onto the fastest device, in the precision that suits it."""
    return load_model(job.network, choose_placement())


def ask(job: Job) -> PredictOptions:
    """Put the job in words of geoconvnext."""
    if not job.tile_px:
        return PredictOptions(scale=job.scale)
    windows = {"tile_px": job.tile_px, "halo_px": job.overlap_px // 2, "batch_size": job.batch}
    return PredictOptions(scale=job.scale, **windows)


def run(job: Job, model: Model) -> None:
    """Predict."""
    options, raster = ask(job), job.output if job.output.suffix == ".tif" else None
    with open_scene(str(job.scene), model.info, options) as scene:
        footprints = job.output.with_suffix(".gpkg")
        predict(scene, footprints, model, options, probabilities=raster, overwrite=True)


if __name__ == "__main__":
    measure(run, load)
