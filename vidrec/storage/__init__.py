"""Object storage for videos."""
