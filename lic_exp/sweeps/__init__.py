"""Many runs as one: planned, run, followed and searched."""
