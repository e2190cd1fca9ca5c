"""Options as typed dataclasses, and how values are read into them."""
