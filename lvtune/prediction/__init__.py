"""Finds persons and animals in pictures and videos, predicts their poses, and writes them as they come."""
