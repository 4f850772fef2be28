"""Losses between and around trained nets, one module per curve."""
