"""For all tests: property tests have no deadline, since the machine may have other things to do."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile("shimmy", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shimmy")
