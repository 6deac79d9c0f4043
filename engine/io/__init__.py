"""Files in and out. Sole owner of h5py, laspy and the vector and raster readers."""
