"""The functions that users call; the only room that combines base, method, objective and domain."""
