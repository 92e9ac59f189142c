"""What the scripts that regularise polygons in the environments of peers share.

Needs nothing but geopandas. A job is a dictionary: `method`; `pixels`, a file of polygons with the number of
each `building`; `labels`, a GeoTIFF of these numbers plus 1; `output`, the file to write, with the same
numbers; `settings` of the method.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas as gpd

Job = dict[str, Any]
WARM_UP = 8


def serve(work: Callable[[gpd.GeoDataFrame, Job], gpd.GeoDataFrame]) -> None:
    """Do the jobs of the file of the command line; write a line for each, as soon as it is done.

    Polygons are read before the clock runs, and a few of the first job are worked on.
    """
    jobs = json.loads(Path(sys.argv[1]).read_text())
    with Path(sys.argv[2]).open("w") as told:
        for number, job in enumerate(jobs):
            table = gpd.read_file(job["pixels"])
            print(json.dumps(attempt(work, table, job, is_first=number == 0)), file=told, flush=True)


def attempt(
    work: Callable[[gpd.GeoDataFrame, Job], gpd.GeoDataFrame],
    table: gpd.GeoDataFrame,
    job: Job,
    *,
    is_first: bool,
) -> dict[str, float | str]:
    """Do a job and write what came of it; return the seconds that it took, or the error."""
    try:
        if is_first:
            work(table.head(WARM_UP), job)
        start = time.perf_counter()
        found = work(table, job)
        seconds = time.perf_counter() - start
        found[["building", "geometry"]].to_file(job["output"])
    except Exception as error:  # noqa: BLE001  # whatever a peer raises is its result
        return {"error": f"{type(error).__name__}: {error}"}
    return {"seconds": seconds}
