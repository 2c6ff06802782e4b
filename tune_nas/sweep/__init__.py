"""Sweeps: many searches as Ray Tune trials, their comparison, and going on after a crash."""
