"""Tickets from Python: what scripts and notebooks use, as `import ticketctl; ticketctl.load_ticket(...)`.

    ticket = ticketctl.load_ticket("runs/resnet20s-digits/imp-1a2b3c4d/seed-0")      # a path, a name, an id, hf://...
    held = ticketctl.apply(model, ticket, level=12)                                  # its start and its mask
    held.follow(optimizer)                                                           # pruned weights stay at 0

Everything here does what the command of the same name does, into the same files, and raises `TicketctlError`s, whose
text is the line that the command would print and whose `exit_code` is its own.
"""

from ticketctl.api.commands import audit, draw, export, spend
from ticketctl.api.hub import pull, push
from ticketctl.api.tickets import Applied, OrderWarning, apply, load_ticket
from ticketctl.artifacts.report import Report
from ticketctl.artifacts.run import Run
from ticketctl.artifacts.ticket import Ticket
from ticketctl.cli.console import Lines

__all__ = [
    "Applied",
    "Lines",
    "OrderWarning",
    "Report",
    "Run",
    "Ticket",
    "apply",
    "audit",
    "draw",
    "export",
    "load_ticket",
    "pull",
    "push",
    "spend",
]
