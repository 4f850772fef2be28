# What type checkers see: ticketctl/__init__.py loads these when they are first used.
from ticketctl.api import Applied as Applied
from ticketctl.api import Lines as Lines
from ticketctl.api import OrderWarning as OrderWarning
from ticketctl.api import Report as Report
from ticketctl.api import Run as Run
from ticketctl.api import Ticket as Ticket
from ticketctl.api import apply as apply
from ticketctl.api import audit as audit
from ticketctl.api import draw as draw
from ticketctl.api import export as export
from ticketctl.api import load_ticket as load_ticket
from ticketctl.api import pull as pull
from ticketctl.api import push as push
from ticketctl.api import spend as spend

__version__: str
