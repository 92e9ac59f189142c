"""geoai-py: its three ways to regular polygons; `orthogonalize` reads the raster of labels, as it wants."""

import geopandas as gpd
from geoai.utils.geometry import adaptive_regularization, hybrid_regularization, orthogonalize
from regularize import Job, serve


def work(table: gpd.GeoDataFrame, job: Job) -> gpd.GeoDataFrame:
    """Regularise, and say which building each polygon is."""
    if job["method"] == "orthogonalize":
        found = orthogonalize(job["labels"], **job["settings"])
        return found.assign(building=found["value"].astype(int) - 1)
    ways = {"hybrid": hybrid_regularization, "adaptive": adaptive_regularization}
    found = ways[job["method"]](table, **job["settings"])
    return found.assign(building=table["building"].to_numpy())


if __name__ == "__main__":
    serve(work)
