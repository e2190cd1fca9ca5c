"""What every room may use: errors, the registry, the network, atomic files, and the choice of adapters."""
