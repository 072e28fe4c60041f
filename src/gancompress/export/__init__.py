"""Files that run where a network is needed, each compared with the network itself."""
