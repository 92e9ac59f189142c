"""The GDAL settings under which scenes and mosaics are read and written."""

import logging
import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import rasterio
from rasterio._err import CPLE_BaseError
from rasterio.errors import NotGeoreferencedWarning, RasterioError

CACHE_BYTES = 64 * 2**20
"""Enough for the blocks under a window; GDAL's own default grows with the machine's memory."""

GDAL_ERRORS = (RasterioError, CPLE_BaseError)
"""What rasterio raises when GDAL fails; it does not wrap all of GDAL's errors in its own."""

HTTP_OPTIONS: dict[str, str | int] = {
    # Sidecar files (masks, overviews) are asked for by name; most web servers cannot list a folder.
    "GDAL_DISABLE_READDIR_ON_OPEN": "TRUE",
    "GDAL_HTTP_MAX_RETRY": 3,
    "GDAL_HTTP_RETRY_DELAY": 1,
}


def environment(path: str = "", *, cache_bytes: int = CACHE_BYTES) -> rasterio.Env:
    """GDAL environment for a file: bounded block cache unless the user set one, patience for web servers."""
    options: dict[str, str | int] = {}
    if "GDAL_CACHEMAX" not in os.environ:
        options["GDAL_CACHEMAX"] = max(cache_bytes, CACHE_BYTES)
    if path.startswith(("http://", "https://", "/vsicurl/")):
        options |= HTTP_OPTIONS
    return rasterio.Env(**options)


def open_dataset(path: str, mode: str = "r", **profile: Any) -> Any:
    """Open a rasterio dataset; raises GDAL_ERRORS. Silent about a missing georeference."""
    with environment(path), warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)  # scenes say so themselves
        return rasterio.open(path, mode, **profile)


@contextmanager
def complete_or_error() -> Iterator[None]:
    """Environment for writing that raises OSError for failures that rasterio only logs.

    When a disk is full, GDAL often notices while it closes a file, and rasterio does not look at the outcome.
    Not everything is logged: libtiff keeps some to itself, so what was written wants checking as well.
    """
    logger, collector = logging.getLogger("rasterio"), _Collector(logging.ERROR)
    logger.addHandler(collector)
    try:
        with environment():
            yield
    finally:
        logger.removeHandler(collector)
    if collector.messages:
        raise OSError("; ".join(dict.fromkeys(collector.messages)))


class _Collector(logging.Handler):
    """Keeps what one thread logs."""

    def __init__(self, level: int) -> None:
        super().__init__(level)
        self.messages: list[str] = []
        self._thread = threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self._thread:
            self.messages.append(record.getMessage())
