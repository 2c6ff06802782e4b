"""The kernels themselves. Importing a module of this package imports triton."""
