"""Domains, one a file: what they are called, where they come from, what they hold."""
