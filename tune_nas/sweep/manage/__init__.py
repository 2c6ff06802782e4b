"""Living with many runs: list, watch, extend, rename, remove and clean them."""
