"""Straight walls and right angles for anybody's building polygons."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import geopandas as gpd
import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import CRS
from pyproj.exceptions import CRSError, ProjError

from geoconvnext import __version__
from geoconvnext.errors import ConfigError, LabelError
from geoconvnext.output import check_places
from geoconvnext.vector.files import check_output, read_footprints, write_footprints
from geoconvnext.vector.regularize import OUTLINES, PLAIN, SQUARED
from geoconvnext.vector.regularize import regularize as regularize_rings
from geoconvnext.vector.rings import Polygons, Rings

TOLERANCE_M = 1.5


def regularize_file(
    source: Path, output: Path, *, layer: str | None = None, tolerance_m: float = TOLERANCE_M
) -> Counter[str]:
    """Regularise the buildings of a vector file, see regularize(); return how many got which outline.

    All columns are kept; "outline" and "fidelity" are added or replaced. Raises LabelError, OutputError.
    """
    check_output(output)
    check_places([source], [output])
    table = read_footprints(source, layer=layer)
    if not isinstance(table, gpd.GeoDataFrame):
        raise LabelError(f"{source} is a table without geometries; name a file with polygons")
    try:
        regular = regularize(table.geometry, tolerance_m=tolerance_m)
    except LabelError as error:
        raise LabelError(f"{source}: {error}") from error
    found = table.copy()
    found[table.geometry.name] = regular.geometry.to_numpy()
    found["outline"], found["fidelity"] = regular["outline"].astype("string"), regular["fidelity"]
    provenance = {
        "source": source.name,
        "tolerance": f"{tolerance_m} m",
        "version": f"geoconvnext {__version__}",
    }
    write_footprints(_of_one_type(found), output, provenance=provenance)
    return Counter(regular["outline"])


def regularize(geometry: gpd.GeoSeries, *, tolerance_m: float = TOLERANCE_M) -> gpd.GeoDataFrame:
    """Give buildings straight walls and right angles where no outline moves farther than a tolerance.

    geometry: Polygons and MultiPolygons in any CRS; without one its units are taken for metres. Buildings
    that share vertices along a common wall share it afterwards. Invalid ones are repaired; empty and missing
    ones stay as they are. Returns a table of the same index with the columns:
    geometry: in the CRS given, valid, none crossing another that it did not cross before;
    outline: "squared" or "round"; "partly" where only some rings or shared walls could be straightened;
        "plain" for what is left as it was;
    fidelity: IoU with the outline given, 0..1.
    LabelError: something else than polygons, or coordinates outside the CRS. ConfigError: the tolerance.
    """
    if not 0.0 < tolerance_m < np.inf:
        raise ConfigError(f"the tolerance must be more than 0 m; got {tolerance_m}")
    valid = _repair(geometry)
    parts, owner = shapely.get_parts(valid, return_index=True)
    parts, owner = parts[~shapely.is_empty(parts)], owner[~shapely.is_empty(parts)]
    given, metric = Rings.of(parts), _metric_crs(geometry)
    rings = replace(given, coords=_project(given.coords, geometry.crs, metric))
    one_group = np.zeros(len(rings.sizes), np.int64)
    regular = regularize_rings(
        rings, one_group, np.eye(2)[None], tolerance=tolerance_m, simplify_tolerance=0.0
    )
    back = _restore(_project(regular.rings.coords, metric, geometry.crs), regular.rings, given, rings)
    drawn = replace(regular.rings, coords=back).to_polygons()
    drawn = np.where(regular.outline == PLAIN, parts, drawn)
    outline, fidelity = _gather(owner, regular.outline, regular.fidelity, shapely.area(parts), len(valid))
    return gpd.GeoDataFrame(
        {"outline": np.take(OUTLINES, outline).astype(object), "fidelity": fidelity},
        geometry=_assemble(drawn, owner, valid),
        index=geometry.index,
        crs=geometry.crs,
    )


def _repair(geometry: gpd.GeoSeries) -> Polygons:
    """Return valid geometries; LabelError where one is no polygon."""
    given = geometry.to_numpy()
    wrong = set(shapely.get_type_id(given)) - {
        -1,
        shapely.GeometryType.POLYGON,
        shapely.GeometryType.MULTIPOLYGON,
    }
    if wrong:
        found = ", ".join(sorted(shapely.GeometryType(kind).name.lower() for kind in wrong))
        raise LabelError(f"buildings are polygons; found {found}: leave these out, or choose another layer")
    if not np.isfinite(shapely.get_coordinates(given)).all():
        raise LabelError("some coordinates are no numbers; leave these buildings out, or correct them")
    repaired: Polygons = np.array(given, dtype=object)
    broken = ~shapely.is_valid(given) & ~shapely.is_missing(given)
    # Areas only, without the lines where a polygon was folded.
    repaired[broken] = shapely.make_valid(repaired[broken], method="structure", keep_collapsed=False)
    plane: Polygons = shapely.remove_repeated_points(shapely.force_2d(repaired))
    return plane


def _metric_crs(geometry: gpd.GeoSeries) -> CRS | None:
    """Return a conformal CRS of true lengths for the place; None where the CRS is unknown."""
    if geometry.crs is None or (geometry.is_empty | geometry.isna()).all():
        return None
    try:
        return CRS.from_user_input(geometry.estimate_utm_crs())
    except (CRSError, ProjError, RuntimeError, ValueError) as error:
        raise LabelError(f"coordinates lie outside the CRS {geometry.crs.name!r}; correct it") from error


def _project(coords: NDArray[np.float64], source: CRS | None, target: CRS | None) -> NDArray[np.float64]:
    """Bring coordinates to another CRS; None leaves them as they are."""
    if source is None or target is None or source == target or len(coords) == 0:
        return coords
    points = gpd.GeoSeries(gpd.points_from_xy(*coords.T), crs=source).to_crs(target)
    projected: NDArray[np.float64] = shapely.get_coordinates(points.to_numpy())
    if not np.isfinite(projected).all():
        raise LabelError(f"coordinates lie outside the CRS {source.name!r}; correct it")
    return projected


def _restore(coords: NDArray[np.float64], drawn: Rings, given: Rings, rings: Rings) -> NDArray[np.float64]:
    """Return coords, those of `drawn` projected back, but as they were given where they had stayed in place.

    Projecting there and back costs digits, which would part walls of neighbours. rings: the given ones,
    projected.
    """
    places = np.concatenate([rings.coords, drawn.coords]) @ np.array([1.0, 1.0j])
    _, first, which = np.unique(places, return_index=True, return_inverse=True)
    origin = first[which[len(given.coords) :]]
    stayed = origin < len(given.coords)
    restored = coords.copy()
    restored[stayed] = given.coords[origin[stayed]]
    return restored


def _gather(
    owner: NDArray[np.int64],
    outline: NDArray[np.int64],
    fidelity: NDArray[np.float64],
    area: NDArray[np.float64],
    count: int,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return outline and fidelity (count,) of geometries from those of their parts: the least, the mean."""
    least = np.full(count, len(OUTLINES))
    np.minimum.at(least, owner, outline)
    most = np.zeros(count, np.int64)
    np.maximum.at(most, owner, outline)
    mixed = (least < SQUARED) & (least != most)
    total = np.bincount(owner, area, minlength=count)
    mean = np.bincount(owner, area * fidelity, minlength=count) / np.where(total > 0.0, total, 1.0)
    gathered = np.where(least == len(OUTLINES), PLAIN, np.where(mixed, OUTLINES.index("partly"), least))
    return gathered, np.where(total > 0.0, mean, 1.0)


def _assemble(parts: Polygons, owner: NDArray[np.int64], given: Polygons) -> Polygons:
    """Put parts together to what they belonged to; what had none stays."""
    whole = given.copy()
    single = shapely.get_type_id(given) == shapely.GeometryType.POLYGON
    alone = single[owner]
    whole[owner[alone]] = parts[alone]
    shapely.multipolygons(parts[~alone], indices=owner[~alone], out=whole)
    return whole


def _of_one_type(table: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """Make all polygons multiple where one is: files have layers of one type."""
    if (table.geom_type != "MultiPolygon").all():
        return table
    kept = table.geometry.to_numpy()
    single = table.geom_type.to_numpy() == "Polygon"
    multiple = [
        shapely.MultiPolygon([shape]) if one else shape for shape, one in zip(kept, single, strict=True)
    ]
    return table.set_geometry(gpd.GeoSeries(multiple, index=table.index, crs=table.crs))
