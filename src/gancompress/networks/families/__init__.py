"""Families of generators and discriminators: network, configuration and file layouts of each."""
