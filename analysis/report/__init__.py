"""A report of a sweep, a table or a run: one page that holds all of it, and fetches nothing."""
