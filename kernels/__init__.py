"""The workbench: pure numerics and physics, arrays in, arrays out."""
