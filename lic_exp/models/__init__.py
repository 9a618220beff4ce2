"""Learned image codecs behind one contract (`lic_exp.models.base`)."""
