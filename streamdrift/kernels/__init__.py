"""The compiler of the hot path, and where on disk its kernels are kept."""
