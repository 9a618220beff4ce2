"""The objective and the loop that minimises it."""
