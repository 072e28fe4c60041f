"""Generator and discriminator families, generators as values, and the reading of checkpoints."""
