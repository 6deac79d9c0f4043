"""Images on a grid: pixels to cells, vegetation index, broadband albedo, cover of the ground, roofs."""
