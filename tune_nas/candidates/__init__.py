"""Black-box searches: candidates are trained for real, or their accuracies read from a table."""
