"""Sweeps: many frozen, signed cells, started by a pool, and all that is known of them from files alone."""
