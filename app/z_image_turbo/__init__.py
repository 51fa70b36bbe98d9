"""One instance of a text-to-image service around the Z-Image-Turbo model."""
