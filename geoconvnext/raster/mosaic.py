"""Probabilities on disk: a GeoTIFF in compressed blocks, written row band by row band in bounded memory."""

import contextlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import rasterio.shutil
from affine import Affine
from numpy.typing import NDArray
from rasterio.windows import Window as Area

from geoconvnext.errors import OutputError, SceneError
from geoconvnext.raster.blend import NODATA
from geoconvnext.raster.gdal import GDAL_ERRORS, environment, open_dataset

BLOCK_PX = 512
PROBABILITY_STEP = 1 / 254
"""Probability = value * PROBABILITY_STEP."""
FREE_SPACE = "Check that the folder exists, may be written to and has free space."


class ProbabilityMosaic:
    """K channels of uint8 on disk: 0..254 = probability * 254 rounded, 255 = nodata.

    A context manager, made by `create` (then only written) or `open` (then only read). A mosaic whose writing
    fails or whose `with` block is left by an error is deleted.
    """

    def __init__(self, path: Path, dataset: Any) -> None:
        self._dataset = dataset
        self._writing = dataset.mode != "r"
        self._next_row = 0
        self._blocks = 0
        self.path = path
        self.height: int = dataset.height
        self.width: int = dataset.width
        self.transform: Affine = dataset.transform
        self.crs: Any = dataset.crs
        self.channels: tuple[str, ...] = tuple(name or "" for name in dataset.descriptions)
        rows = BLOCK_PX if self._writing else 0
        self._block_row = np.empty((len(self.channels), rows, self.width), np.uint8)

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        *,
        height: int,
        width: int,
        transform: Affine,
        crs: Any,
        channels: tuple[str, ...],
        tags: Mapping[str, str] | None = None,
    ) -> Self:
        """Begin a mosaic with a name per channel; crs is a rasterio CRS or None. Raises OutputError.

        tags: what the file says of itself; to_cog() keeps them.
        """
        target = Path(path)
        profile = {
            "driver": "GTiff", "height": height, "width": width, "count": len(channels), "dtype": "uint8",
            "transform": transform, "crs": crs, "nodata": NODATA, "tiled": True, "blockxsize": BLOCK_PX,
            "blockysize": BLOCK_PX, "interleave": "band", "compress": "zstd", "zstd_level": 1,
            "bigtiff": "if_safer", "sparse_ok": True,
        }  # fmt: skip
        with _writing(target):
            dataset = open_dataset(str(target), "w", **profile)
            dataset.descriptions = channels
            dataset.scales = (PROBABILITY_STEP,) * len(channels)
            dataset.update_tags(**(tags or {}))
        return cls(target, dataset)

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Self:
        """Open a finished mosaic for reading. Raises SceneError where the file is none."""
        try:
            dataset = open_dataset(os.fspath(path))
        except GDAL_ERRORS as error:
            raise SceneError(f"{os.fspath(path)}: not a mosaic of probabilities: {error}") from error
        if dataset.nodata != NODATA or set(dataset.dtypes) != {"uint8"}:
            dataset.close()
            raise SceneError(
                f"{os.fspath(path)}: not a mosaic of probabilities: it is not 8-bit with nodata {NODATA}"
            )
        return cls(Path(path), dataset)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        elif self._writing:
            self.discard()
        else:
            self._dataset.close()

    def write_rows(self, row: int, probabilities: NDArray[np.uint8]) -> None:
        """Append rows (channels, rows, width) that start at `row`, the first one not yet written.

        Kept until a row of blocks is complete, so that no block is compressed twice. Raises OutputError.
        """
        rows = probabilities.shape[1]
        if row != self._next_row or row + rows > self.height:
            raise ValueError(
                f"expected rows from {self._next_row} of {self.height}, got {row} to {row + rows}"
            )
        done = 0
        while done < rows:
            at = self._next_row % BLOCK_PX
            count = min(BLOCK_PX - at, rows - done)
            self._block_row[:, at : at + count] = probabilities[:, done : done + count]
            self._next_row += count
            done += count
            if self._next_row % BLOCK_PX == 0:
                self._write_block_row()

    def read(self, row: int, col: int, height: int, width: int) -> NDArray[np.uint8]:
        """Probabilities (channels, height, width) of a window inside the mosaic. Raises SceneError."""
        try:
            with environment():  # else GDAL caches blocks in 5 % of the machine's memory
                return np.asarray(self._dataset.read(window=Area(col, row, width, height)))
        except GDAL_ERRORS as error:
            raise SceneError(
                f"{self.path}: cannot read {height} x {width} at ({row}, {col}): {error}"
            ) from error

    def bands(self) -> Iterator[NDArray[np.uint8]]:
        """All rows, top to bottom, a row of blocks at a time. Raises SceneError."""
        for row in range(0, self.height, BLOCK_PX):
            yield self.read(row, 0, min(BLOCK_PX, self.height - row), self.width)

    def close(self) -> None:
        """Finish the file. Raises OutputError, and ValueError where rows are missing."""
        if not self._writing or self._dataset.closed:
            self._dataset.close()
            return
        try:
            self._finish()
        except (OutputError, ValueError):
            self.discard()
            raise

    def discard(self) -> None:
        """Close and delete the file."""
        with contextlib.suppress(*GDAL_ERRORS):
            self._dataset.close()
        self.path.unlink(missing_ok=True)

    def to_cog(self, path: str | os.PathLike[str]) -> None:
        """Copy a finished mosaic to a cloud-optimised GeoTIFF, complete or not at all. Raises OutputError."""
        target = Path(path)
        options = {
            "COMPRESS": "DEFLATE", "LEVEL": 1, "PREDICTOR": "YES", "BLOCKSIZE": BLOCK_PX,
            "OVERVIEW_RESAMPLING": "AVERAGE", "BIGTIFF": "IF_SAFER", "SPARSE_OK": "TRUE",
            "NUM_THREADS": "ALL_CPUS",
        }  # fmt: skip
        with _writing(target), tempfile.TemporaryDirectory(dir=target.parent, prefix=".") as folder:
            draft = Path(folder) / target.name
            with environment():
                rasterio.shutil.copy(self._dataset, draft, driver="COG", **options)
                # Bands of a COG may share their blocks, so only the places are compared.
                found, wanted = ({place for _, place in _stored_blocks(file)} for file in (draft, self.path))
            if found != wanted:
                raise OutputError(
                    f"{target}: cannot write: {len(found)} of {len(wanted)} blocks fit. {FREE_SPACE}"
                )
            draft.replace(target)

    def _finish(self) -> None:
        if self._next_row != self.height:
            raise ValueError(f"{self._next_row} of {self.height} rows were written")
        if self._next_row % BLOCK_PX:
            self._write_block_row()
        with _writing(self.path), environment():
            self._dataset.close()
            found = len(_stored_blocks(self.path))
        if found != self._blocks:
            raise OutputError(
                f"{self.path}: cannot write: {found} of {self._blocks} blocks fit. {FREE_SPACE}"
            )

    def _write_block_row(self) -> None:
        rows = (self._next_row - 1) % BLOCK_PX + 1
        area = Area(0, self._next_row - rows, self.width, rows)
        holds_data = (self._block_row[:, :rows] != NODATA).any(axis=1)
        starts = np.arange(0, self.width, BLOCK_PX)
        self._blocks += int(np.logical_or.reduceat(holds_data, starts, axis=1).sum())
        with _writing(self.path), environment():
            self._dataset.write(self._block_row[:, :rows], window=area)


@contextlib.contextmanager
def _writing(target: Path) -> Iterator[None]:
    """Turn whatever goes wrong while writing into one error."""
    try:
        yield
    except (*GDAL_ERRORS, OSError) as error:
        raise OutputError(f"{target}: cannot write: {error}. {FREE_SPACE}") from error


def _stored_blocks(path: Path) -> set[tuple[int, str]]:
    """Band and place of the blocks that lie wholly in a file; blocks of nodata have no place there.

    libtiff keeps to itself that a disk was full when the last blocks were written.
    """
    size, stored = path.stat().st_size, set()
    with open_dataset(str(path)) as dataset:
        places = [f"{x}_{y}" for (y, x), _ in dataset.block_windows(1)]
        for band in dataset.indexes:
            for place in places:
                start = dataset.get_tag_item(f"BLOCK_OFFSET_{place}", "TIFF", bidx=band)
                length = dataset.get_tag_item(f"BLOCK_SIZE_{place}", "TIFF", bidx=band)
                if start is not None and int(start) + int(length) <= size:
                    stored.add((band, place))
    return stored
