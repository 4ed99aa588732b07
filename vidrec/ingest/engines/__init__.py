"""Engines: where tasks are worked on. Each takes tasks and yields their outcomes."""
