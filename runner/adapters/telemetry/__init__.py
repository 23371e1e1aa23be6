"""What the runner says of itself: logs now; metrics and traces are folds over the same records."""
