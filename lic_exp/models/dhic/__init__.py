"""DHIC: four latents, coarse to fine, in two passes from learned biases. The codec is `codec.DHIC`."""
