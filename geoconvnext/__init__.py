"""Individual building footprints from satellite and aerial scenes, with ConvNeXt."""

__version__ = "0.1.0"
