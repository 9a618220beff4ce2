"""The commands, one file each: a line of help (the docstring), `add_arguments`, and `run`, which prints."""
