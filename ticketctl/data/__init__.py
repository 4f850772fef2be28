"""Data sets as uint8 arrays, decoded once, or in their files. `load.load` opens one; a module with `NAMES` brings some.

A data module has `NAMES` (a literal: name to one line of help), `find(name, source) -> Found`, and `OPTIONS`,
the option keys it understands, if it takes any. Nothing here touches a device; `_decode` alone imports torch, once a
streamed folder is opened.
"""
