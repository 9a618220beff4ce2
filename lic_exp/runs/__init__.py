"""One run: found or started, trained, evaluated, extended, removed."""
