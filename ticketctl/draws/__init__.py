"""Draw methods, one module each; the file name is the word users type."""
