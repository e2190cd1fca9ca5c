"""The attack on lvtune: each area is a function of (count, seed, folder) that returns what failed.

``tools/attack.py`` runs them at length; the tests of this folder run the same functions with small numbers.
"""
