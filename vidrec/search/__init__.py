"""Search: from a query to recommendations."""
