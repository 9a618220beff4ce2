"""The launchers that there are, one a module or a folder; they do not know of each other."""
