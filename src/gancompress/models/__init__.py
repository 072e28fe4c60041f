"""Generator and discriminator families, generators as values, and reading of checkpoints."""
