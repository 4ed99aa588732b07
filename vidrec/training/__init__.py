"""Training: a network of one's own."""
