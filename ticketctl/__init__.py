"""ticketctl: draw a lottery ticket once, spend it under any recipe."""

__version__ = "0.1.0"
