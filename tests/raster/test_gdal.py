import logging
import threading

import pytest

from geoconvnext.raster.gdal import CACHE_BYTES, complete_or_error, environment


def log_failure():
    logging.getLogger("rasterio._env").error("CPLE_FileIO in disk full")


def fail_like_gdal():
    with complete_or_error():
        log_failure()


def test_logged_failures_become_errors():
    with pytest.raises(OSError, match="disk full"):
        fail_like_gdal()


def test_failures_of_other_threads_do_not_count():
    with complete_or_error():
        other = threading.Thread(target=log_failure)
        other.start()
        other.join()


def test_cache_is_bounded_unless_the_user_set_it(monkeypatch):
    assert environment().options["GDAL_CACHEMAX"] == CACHE_BYTES
    assert environment(cache_bytes=2 * CACHE_BYTES).options["GDAL_CACHEMAX"] == 2 * CACHE_BYTES
    assert "GDAL_HTTP_MAX_RETRY" in environment("https://example.org/scene.tif").options
    monkeypatch.setenv("GDAL_CACHEMAX", "512")
    assert "GDAL_CACHEMAX" not in environment().options
