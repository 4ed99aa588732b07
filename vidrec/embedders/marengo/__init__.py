"""Marengo: Twelve Labs' embeddings of videos, pictures and texts."""
