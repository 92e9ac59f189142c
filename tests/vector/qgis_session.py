"""What QGIS makes of a GeoPackage; run by the interpreter that has QGIS, prints one JSON object.

Arguments: the GeoPackage, a raster, where to put the picture, and the picture's extent (xmin ymin xmax ymax).
"""

import json
import sys

from qgis.core import (
    QgsApplication,
    QgsMapRendererParallelJob,
    QgsMapSettings,
    QgsRasterLayer,
    QgsRectangle,
    QgsVectorLayer,
)
from qgis.PyQt.QtCore import QSize
from qgis.PyQt.QtGui import QColor


def render(layers, extent, crs, path):
    """Draw layers, the first on top, over white into a PNG of 400 x 400 pixels."""
    settings = QgsMapSettings()
    settings.setLayers(layers)
    settings.setDestinationCrs(crs)
    settings.setExtent(QgsRectangle(*extent))
    settings.setOutputSize(QSize(400, 400))
    settings.setOutputDpi(192)
    settings.setBackgroundColor(QColor("white"))
    job = QgsMapRendererParallelJob(settings)
    job.start()
    job.waitForFinished()
    assert job.renderedImage().save(path)


def main():
    """Open, ask, draw."""
    app = QgsApplication([], False)
    app.initQgis()
    vector = QgsVectorLayer(f"{sys.argv[1]}|layername=buildings", "buildings", "ogr")
    raster = QgsRasterLayer(sys.argv[2], "scene")
    _, message = None, vector.loadDefaultStyle()
    symbol_layers = vector.renderer().symbol().symbolLayers()
    extent = [float(value) for value in sys.argv[4:8]]
    render([vector, raster], extent, vector.crs(), sys.argv[3])
    answer = {
        "valid": vector.isValid() and raster.isValid(),
        "crs": vector.crs().authid(),
        "features": vector.featureCount(),
        "fields": [field.name() for field in vector.fields()],
        "styles": vector.listStylesInDatabase()[2],
        "default_style_loaded": message[1],
        "renderer": vector.renderer().type(),
        "symbol_layers": [layer.layerType() for layer in symbol_layers],
        "fill": list(symbol_layers[-1].fillColor().getRgb()),
        "outline": list(symbol_layers[-1].strokeColor().getRgb()),
    }
    print(json.dumps(answer))
    # QGIS crashes now and then while it is taken down; everything has been said.
    sys.stdout.flush()
    app.exitQgis()


main()
