"""Epochs that trials have in common: found, run once, and taken over by the others."""
