"""Evaluate: how good the recommendations are."""
