"""Files of this package: what a .lic file is, and pictures to and from it."""
