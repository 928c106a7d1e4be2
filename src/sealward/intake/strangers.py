"""Whom the registry is asked about once more, so that a new gateway waits for nobody.

The broker admits by the registry itself, so a stranger at the door is most often new.
One who is none costs a reading of the registry now and then, and no more.
"""

PAUSE = 100  # ms before the same alias is asked about again
MOST = 1000  # aliases at a time; a ward has fewer new gateways within PAUSE


class Strangers:
    """The aliases that were asked about a moment ago."""

    def __init__(self) -> None:
        self._asked: dict[str, int] = {}

    def worth_asking(self, alias: str, now: int) -> bool:
        """Say whether to ask about *alias* at *now*, in ms; if so, it is noted."""
        if 0 <= now - self._asked.get(alias, -PAUSE) < PAUSE:
            return False
        if len(self._asked) >= MOST:
            self._asked = {
                each: at for each, at in self._asked.items() if now - at < PAUSE
            }
        if len(self._asked) >= MOST:
            return False
        self._asked[alias] = now
        return True
