"""Trees and canopies from height rasters and returns, in the frame of `felsina.kernels.pointcloud`; heights are whole mm."""
