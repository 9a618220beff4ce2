"""From a command line to a finished run: compose, validate, sign, build, train, evaluate."""
