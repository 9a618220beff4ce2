"""What a run is to be: overrides composed, validated and signed."""
