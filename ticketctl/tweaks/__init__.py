"""One module per tweak: what may be changed when a ticket is spent, its mask untouched."""
