"""What geoconvnext adds to a GeoPackage that GDAL has written: the style that QGIS applies by itself."""

import sqlite3
from contextlib import closing
from pathlib import Path

from geoconvnext.vector import style

# The table as QGIS 3.22 creates it when a style is saved to the database.
_CREATE = """
CREATE TABLE "layer_styles" (
  "id" INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, "f_table_catalog" TEXT(256), "f_table_schema" TEXT(256),
  "f_table_name" TEXT(256), "f_geometry_column" TEXT(256), "styleName" TEXT(30), "styleQML" TEXT,
  "styleSLD" TEXT, "useAsDefault" BOOLEAN, "description" TEXT, "owner" TEXT(30), "ui" TEXT(30),
  "update_time" DATETIME DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ','now')))
"""
_REGISTER = """
INSERT INTO gpkg_contents (table_name, data_type, identifier, description, srs_id)
VALUES ('layer_styles', 'attributes', 'layer_styles', '', 0)
"""
# QGIS looks for empty strings, not NULL, in the catalogue and schema columns.
_INSERT = """
INSERT INTO layer_styles (f_table_catalog, f_table_schema, f_table_name, f_geometry_column, styleName,
                          styleQML, styleSLD, useAsDefault, description, owner)
VALUES ('', '', ?, 'geom', 'geoconvnext', ?, ?, 1, 'Building footprints over imagery', '')
"""


def complete(path: Path, layer: str) -> None:
    """Store the default style of a layer that GDAL has just written; sqlite3.Error where that fails.

    GDAL only warns where the disk is too full for the spatial index; asking the index raises.
    """
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f'SELECT count(*) FROM "rtree_{layer}_geom"')  # noqa: S608 - our own layer's name
        connection.execute(_CREATE)
        connection.execute(_REGISTER)
        connection.execute(_INSERT, (layer, style.qml(), style.sld(layer)))
