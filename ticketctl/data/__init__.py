"""Data sets as uint8 arrays, decoded once. `load.load` opens one; each module with a `NAMES` brings some.

A data module has `NAMES` (a literal: name to one line of help), `find(name, source) -> Found`, and `OPTIONS`,
the option keys it understands, if it takes any. Nothing here imports torch or touches a device.
"""
