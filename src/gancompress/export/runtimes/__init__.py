"""Files and networks as functions, one module for each runtime."""
