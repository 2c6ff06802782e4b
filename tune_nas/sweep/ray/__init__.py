"""What runs on Ray: the trainable, the queue of trials, early stopping, progress, the cluster."""
