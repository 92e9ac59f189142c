"""How footprints look in QGIS: a bright, crisp outline over a dark casing, the roof shining through.

Readable over bright and dark imagery alike. QML is what QGIS 3 stores itself; SLD is for everybody else.
"""

from xml.etree import ElementTree as ET

OUTLINE = (255, 214, 0)
FILL_ALPHA = 64
CASING = (20, 20, 20, 160)
OUTLINE_MM, CASING_MM = 0.4, 0.8

_SE = "http://www.opengis.net/se"
_SLD = "http://www.opengis.net/sld"


def qml() -> str:
    """Return the style as a QGIS style document (QGIS 3.22 and later)."""
    root = ET.Element("qgis", version="3.22.0", styleCategories="Symbology")
    renderer = ET.SubElement(
        root, "renderer-v2", type="singleSymbol", symbollevels="0", forceraster="0", enableorderby="0"
    )
    symbols = ET.SubElement(renderer, "symbols")
    symbol = ET.SubElement(symbols, "symbol", type="fill", name="0", alpha="1", clip_to_extent="1")
    casing = {
        "line_color": _rgba(*CASING),
        "line_width": str(CASING_MM),
        "line_width_unit": "MM",
        "joinstyle": "miter",
    }
    _add_layer(symbol, "SimpleLine", casing)
    fill = {
        "color": _rgba(*OUTLINE, FILL_ALPHA),
        "style": "solid",
        "outline_color": _rgba(*OUTLINE, 255),
        "outline_style": "solid",
        "outline_width": str(OUTLINE_MM),
        "outline_width_unit": "MM",
        "joinstyle": "miter",
    }
    _add_layer(symbol, "SimpleFill", fill)
    ET.SubElement(root, "layerGeometryType").text = "2"
    return "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n" + _pretty(root)


def sld(layer: str) -> str:
    """Return the style as a Styled Layer Descriptor 1.1 for a layer of this name."""
    ET.register_namespace("se", _SE)
    ET.register_namespace("", _SLD)
    root = ET.Element(f"{{{_SLD}}}StyledLayerDescriptor", version="1.1.0")
    named = ET.SubElement(root, f"{{{_SLD}}}NamedLayer")
    ET.SubElement(named, f"{{{_SE}}}Name").text = layer
    style = ET.SubElement(ET.SubElement(named, f"{{{_SLD}}}UserStyle"), f"{{{_SE}}}FeatureTypeStyle")
    polygon = ET.SubElement(ET.SubElement(style, f"{{{_SE}}}Rule"), f"{{{_SE}}}PolygonSymbolizer")
    color = "#{:02x}{:02x}{:02x}".format(*OUTLINE)
    fill = ET.SubElement(polygon, f"{{{_SE}}}Fill")
    _add_parameter(fill, "fill", color)
    _add_parameter(fill, "fill-opacity", f"{FILL_ALPHA / 255:.2f}")
    stroke = ET.SubElement(polygon, f"{{{_SE}}}Stroke")
    _add_parameter(stroke, "stroke", color)
    _add_parameter(stroke, "stroke-width", "1.2")
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + _pretty(root)


def _add_layer(symbol: ET.Element, kind: str, properties: dict[str, str]) -> None:
    """Add a symbol layer with its properties."""
    layer = ET.SubElement(symbol, "layer", {"class": kind, "enabled": "1", "locked": "0", "pass": "0"})
    options = ET.SubElement(layer, "Option", type="Map")
    for name, value in properties.items():
        ET.SubElement(options, "Option", type="QString", name=name, value=value)


def _add_parameter(parent: ET.Element, name: str, value: str) -> None:
    """Add a parameter of a fill or a stroke."""
    ET.SubElement(parent, f"{{{_SE}}}SvgParameter", name=name).text = value


def _rgba(red: int, green: int, blue: int, alpha: int) -> str:
    """Return a colour as QGIS writes it."""
    return f"{red},{green},{blue},{alpha}"


def _pretty(root: ET.Element) -> str:
    """Return the document's text, indented."""
    ET.indent(root)
    return ET.tostring(root, encoding="unicode") + "\n"
