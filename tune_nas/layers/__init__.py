"""The layers that operations, supernets and the native kernels are made of."""
