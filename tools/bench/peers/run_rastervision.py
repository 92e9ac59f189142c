"""Raster Vision: sliding windows over a scene that is not loaded whole, smooth labels, written as a mask."""

from meter import Counted, Job, measure
from rastervision.core.data import ClassConfig, SemanticSegmentationLabels
from rastervision.pytorch_learner import (
    SemanticSegmentationGeoDataConfig,
    SemanticSegmentationLearner,
    SemanticSegmentationLearnerConfig,
    SemanticSegmentationSlidingWindowGeoDataset,
    SolverConfig,
)

CLASSES = ClassConfig(names=["ground", "building"], null_class="ground")


def run(job: Job, net: Counted) -> None:
    """Predict the windows, blend, and save."""
    dataset = SemanticSegmentationSlidingWindowGeoDataset.from_uris(
        class_config=CLASSES,
        image_uri=str(job.scene),
        image_raster_source_kw={"allow_streaming": True},
        size=job.tile_px,
        stride=job.tile_px - job.overlap_px,
    )
    folder = job.output.with_suffix("")
    found = learner(net, job, str(folder / "learner")).predict_dataset(
        dataset,
        raw_out=True,
        numpy_out=True,
        predict_kw={"out_shape": (job.tile_px, job.tile_px)},
        dataloader_kw={"num_workers": 0, "batch_size": job.batch},
        progress_bar=False,
    )
    labels = SemanticSegmentationLabels.from_predictions(
        dataset.windows, found, smooth=True, extent=dataset.scene.extent, num_classes=2
    )
    labels.save(
        str(folder),
        crs_transformer=dataset.scene.raster_source.crs_transformer,
        class_config=CLASSES,
        discrete_output=True,
        smooth_output=False,
    )
    (folder / "labels.tif").replace(job.output)


def learner(net: Counted, job: Job, folder: str) -> SemanticSegmentationLearner:
    """Return what runs the network."""
    data = SemanticSegmentationGeoDataConfig(class_config=CLASSES, num_workers=0)
    config = SemanticSegmentationLearnerConfig(data=data, solver=SolverConfig(batch_sz=job.batch))
    return SemanticSegmentationLearner(cfg=config, model=net, training=False, output_dir=folder)


if __name__ == "__main__":
    measure(run)
