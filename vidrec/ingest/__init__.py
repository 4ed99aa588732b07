"""Ingest: from files and URLs to embeddings in the library, and from there to a store."""
