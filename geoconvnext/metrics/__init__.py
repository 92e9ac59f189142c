"""How good footprints are: pixel and object measures, numpy and shapely only."""
