"""From probabilities to footprints: numpy, numba, shapely and geopandas, never torch."""
