"""Options that mean the same in several verbs."""

from pathlib import Path
from typing import Annotated

import typer

Output = Annotated[Path, typer.Option("--output", "-o", help="File (.gpkg, .parquet, .fgb, .geojson, .shp).")]
Gsd = Annotated[
    float | None, typer.Option(help="Ground sampling distance (m) of rasters that do not know it.")
]
Nodata = Annotated[
    float | None, typer.Option(help="Value of pixels without data, instead of the declared one.")
]
Threshold = Annotated[float | None, typer.Option(help="Probability from which a pixel is building.")]
MinArea = Annotated[float | None, typer.Option(help="Smallest building (m2).")]
Tolerance = Annotated[
    float | None,
    typer.Option(help="How far outlines may move to get straight walls (m, default 1.5); 0 for never."),
]
Simplify = Annotated[
    float | None,
    typer.Option(help="Tolerance of outlines that are not straightened (m); 0 keeps every vertex."),
]
MinConfidence = Annotated[
    float | None, typer.Option(help="Drop footprints less likely to be right than this (0 to 1).")
]
Precision = Annotated[
    float | None,
    typer.Option(
        min=0.0, max=1.0, help="Keep as many footprints as possible while this share of them is right."
    ),
]
Aoi = Annotated[Path | None, typer.Option(help="Vector file; only buildings that touch its features.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")]
