"""An experiment platform for learned image compression."""
