"""What a package outside of gancompress would add, one file each."""
