"""Scenes in, probabilities out: rasterio and numpy, never torch."""
