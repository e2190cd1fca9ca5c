"""Adapters as files: fingerprint of the base, the folder on disk, the model card."""
