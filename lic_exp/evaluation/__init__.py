"""Measurements on real bitstreams and the pictures that go with them."""
