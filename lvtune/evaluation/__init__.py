"""Scores: OKS-AP, PCK."""
