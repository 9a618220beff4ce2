"""Training-only spectral regularizers behind one contract (`lic_exp.spectral_reg.base`)."""
