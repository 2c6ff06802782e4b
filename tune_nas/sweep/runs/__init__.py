"""The folder of a run: what is stored, read back, locked and found by name."""
