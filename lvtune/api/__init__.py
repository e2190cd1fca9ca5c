"""What users call: the only place where base, method, objective and domain come together."""
