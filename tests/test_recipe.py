import json
from dataclasses import asdict

import pytest

from geoconvnext.errors import SceneError
from geoconvnext.recipe import CONFIDENCE, GSD, ORIGIN, RULES, Recipe
from geoconvnext.vector.confidence import Confidence, OperatingPoint
from geoconvnext.vector.features import FEATURES
from geoconvnext.vector.rules import FootprintRules

NUMBERS = tuple(1 / (3 + place) for place in range(len(FEATURES)))
CALIBRATION = Confidence(FEATURES, NUMBERS, NUMBERS, NUMBERS, 1 / 7, (OperatingPoint(0.0, 0.7, 0.9, 99),))
ORIGINS = {"scene": 'Häuser <&> "x".tif', "model": "m", "scale": "2"}


@pytest.mark.parametrize(
    "recipe",
    [
        Recipe(),
        Recipe(FootprintRules(body_threshold=1 / 3, min_area_m2=5), CALIBRATION, 0.1 + 0.2, ORIGINS),
    ],
)
def test_tags_carry_everything(recipe):
    assert Recipe.from_tags(recipe.to_tags(), "p.tif") == recipe


def test_other_tags_are_no_recipe():
    assert Recipe.from_tags({"AREA_OR_POINT": "Area"}, "p.tif") is None


def test_rules_that_an_older_version_did_not_write_have_their_defaults():
    tags = {RULES: json.dumps({"body_threshold": 0.4})}
    assert Recipe.from_tags(tags, "p.tif") == Recipe(FootprintRules(body_threshold=0.4))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (RULES, "no JSON"),
        (RULES, "[]"),
        (RULES, json.dumps({"unheard_of": 1})),
        (RULES, json.dumps({"body_threshold": "high"})),
        (RULES, json.dumps({"body_threshold": 7})),
        (CONFIDENCE, "{}"),
        (CONFIDENCE, "null"),
        (CONFIDENCE, json.dumps(asdict(CALIBRATION) | {"features": ["colour"]})),
        (GSD, '"wide"'),
        (ORIGIN, "3"),
    ],
)
def test_tags_that_cannot_be_understood(name, text):
    tags = Recipe(confidence=CALIBRATION, gsd_m=0.5).to_tags() | {name: text}
    with pytest.raises(SceneError, match=r"p\.tif: .*predict"):
        Recipe.from_tags(tags, "p.tif")
