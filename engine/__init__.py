"""The plant: state, partition, time, processes, files, provenance."""
