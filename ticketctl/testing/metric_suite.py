"""All claims about a metric in one class."""

from __future__ import annotations

from ticketctl.testing.metric_claims import MetricClaims
from ticketctl.testing.metric_manners import MetricManners
from ticketctl.testing.metric_words import MetricWords


class MetricSuite(MetricClaims, MetricManners, MetricWords):
    """What every metric owes. Subclass it as `Test…` in a test file, name the metric, and run pytest."""
