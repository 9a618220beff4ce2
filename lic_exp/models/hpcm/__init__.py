"""HPCM: one latent coded in three nested scales and eleven steps. The codec is `codec.HPCM`."""
