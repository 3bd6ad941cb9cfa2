"""How much of requests' bodies may be in memory, of all of them together."""

from __future__ import annotations

from shimmy.server.errors import HttpError

FREE_BYTES = 64 * 1024
"""Of each body that do not count: small requests are let in whatever the large ones hold."""


class BodyBudget:
    """Of bodies that are being read, or wait to be decoded. Everything happens on the event loop's thread."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.used = 0

    def share(self) -> BodyShare:
        """Of a body that is about to be read, to be released."""
        return BodyShare(self)


class BodyShare:
    """What one body takes of the budget."""

    def __init__(self, budget: BodyBudget) -> None:
        self._budget = budget
        self._size = 0
        self._taken = 0

    def add(self, n_bytes: int) -> None:
        """These came. HttpError 503 when there is no room for them."""
        self._size += n_bytes
        more = max(self._size - FREE_BYTES, 0) - self._taken
        if self._budget.used + more > self._budget.most:
            raise HttpError(
                503,
                f"the bodies of other requests take up the {self._budget.most} bytes that there are for them: "
                "try again in a moment",
                "too_many_bodies",
                retry_after=1,
            )
        self._budget.used += more
        self._taken += more

    def release(self) -> None:
        """Idempotent; nothing may be added afterwards."""
        self._budget.used -= self._taken
        self._taken = 0
