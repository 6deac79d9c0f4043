"""The physics and geometry of a city, step by step: each process calls kernels on fields."""
