"""Data sets as uint8 arrays, decoded once."""
