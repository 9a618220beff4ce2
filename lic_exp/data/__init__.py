"""Image sources and the deterministic samples drawn from them."""
