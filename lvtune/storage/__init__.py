"""Adapter files on the local disk."""
