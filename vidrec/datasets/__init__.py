"""Data sets that vidrec can fetch."""
