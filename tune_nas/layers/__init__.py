"""The layers of operations, supernets and the native kernels."""
