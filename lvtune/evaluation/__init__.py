"""Predicts splits and scores the predictions: PCK, errors in pixels, OKS-AP, errors of hands in mm."""
