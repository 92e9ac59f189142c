"""Building-Regulariser: polygons aligned to their main direction, with diagonals and circles."""

import geopandas as gpd
from buildingregulariser import regularize_geodataframe
from regularize import Job, serve


def work(table: gpd.GeoDataFrame, job: Job) -> gpd.GeoDataFrame:
    """Regularise, on one core."""
    return regularize_geodataframe(table, num_cores=1, **job["settings"])


if __name__ == "__main__":
    serve(work)
