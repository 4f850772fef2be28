"""The suites that ticketctl's own plug-ins pass, for yours: subclass one in a test file and run pytest.

    from ticketctl.testing import DrawSuite, MetricSuite, TweakSuite

    class TestMine(DrawSuite):
        method = "my-method"
        keys = {"rate": "1/2"}

    class TestMyTweak(TweakSuite):
        tweak = "my-tweak"

    class TestMyMetric(MetricSuite):
        metric = "my-metric"

They need no network, no data but the digits that come with ticketctl, and seconds.
"""

from ticketctl.testing.metric_suite import MetricSuite
from ticketctl.testing.suite import DrawSuite
from ticketctl.testing.tweak_suite import TweakSuite

__all__ = ["DrawSuite", "MetricSuite", "TweakSuite"]
