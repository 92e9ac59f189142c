"""Procedural aerial and satellite scenes with exact building footprints."""

from geoconvnext.data.synth.scene import SynthScene, make_scene
from geoconvnext.data.synth.styles import STYLES

__all__ = ["STYLES", "SynthScene", "make_scene"]
