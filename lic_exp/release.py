"""Which version of this package it is; pyproject.toml has the same number."""

VERSION = "0.1.0"
