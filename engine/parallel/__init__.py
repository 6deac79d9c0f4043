"""Ranks: the world, the partition and the exchanges between them. Sole owner of mpi4py."""
