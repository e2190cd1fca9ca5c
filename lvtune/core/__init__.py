"""Holds what every room uses: errors, registries, text, files, the network, threads, and the choice of adapters."""
