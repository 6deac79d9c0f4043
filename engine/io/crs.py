"""Coordinate reference systems: what pyproj is asked, in one place."""

from __future__ import annotations


def distance_km(crs: str, x: float, y: float, longitude: float, latitude: float) -> float:
    """Return the geodesic distance [km] between a position in a CRS and a place on the WGS 84 ellipsoid [degree]."""
    from pyproj import Geod, Transformer

    here = Transformer.from_crs(crs, "EPSG:4326", always_xy=True).transform(x, y)
    return Geod(ellps="WGS84").inv(*here, longitude, latitude)[2] / 1000.0
