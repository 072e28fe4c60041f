"""Networks: their architectures and families, generators as values, and reading of checkpoints."""
