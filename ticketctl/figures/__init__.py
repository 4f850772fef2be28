"""Figures: one module each, from artifacts to a sheet; `ink` paints them. No torch, and no file is opened."""
