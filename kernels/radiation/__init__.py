"""Sun, sky, horizons and the irradiance of surfaces."""
