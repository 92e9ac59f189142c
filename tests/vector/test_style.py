"""The styles are well-formed documents."""

from xml.etree import ElementTree as ET

from geoconvnext.vector import style


def test_qml_is_one_symbol_with_casing_fill_and_outline():
    root = ET.fromstring(style.qml())
    assert root.find("renderer-v2").get("type") == "singleSymbol"
    layers = root.findall("renderer-v2/symbols/symbol/layer")
    assert [layer.get("class") for layer in layers] == ["SimpleLine", "SimpleFill"]
    options = {option.get("name"): option.get("value") for option in layers[1].iter("Option")}
    assert options["color"].endswith(",64")
    assert options["outline_color"].endswith(",255")


def test_sld_names_its_layer():
    root = ET.fromstring(style.sld("buildings").split("?>", 1)[1])
    assert root.tag == "{http://www.opengis.net/sld}StyledLayerDescriptor"
    assert root.find(".//{http://www.opengis.net/se}Name").text == "buildings"
