"""The ink: sheets as pictures (matplotlib), one module for each form. Equal sheets give equal bytes."""
