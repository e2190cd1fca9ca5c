"""Experiments of many runs: comparisons, tables of publications, cross-validation, and their pages."""
