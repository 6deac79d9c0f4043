"""The doorway: the command line, one module per job."""
