"""A package as somebody else would write one: a file for each kind of thing that it adds to gancompress."""
