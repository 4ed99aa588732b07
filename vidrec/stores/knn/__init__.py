"""The local index: exact, memory-mapped, for one machine."""
