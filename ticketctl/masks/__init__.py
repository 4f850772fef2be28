"""Masks as sets of kept weights: exact selection, ladders, layer budgets, what they cut off."""
