"""Attaches adapters to a base and takes them off again."""
