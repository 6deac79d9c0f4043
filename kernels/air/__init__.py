"""Canopy air: wind, transport of heat, and the surface balance that feeds it."""
