"""The parts that run on Ray: trainable, queue of trials, early stopping, progress, cluster."""
