"""The network and its weights: torch, never rasterio."""
