"""Polygons, prisms and their checks, in integer millimetres: exact predicates, no tolerance that a tile could change."""
