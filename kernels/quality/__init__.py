"""Checks of the input: footprints against roofs, strips, heights, completeness, change. In whole millimetres."""
