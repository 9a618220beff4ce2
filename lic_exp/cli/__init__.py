"""The commands, one file each: arguments in, one call below, text out."""
