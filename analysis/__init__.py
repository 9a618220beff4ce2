"""Tables and curves from run folders; imports no torch."""
