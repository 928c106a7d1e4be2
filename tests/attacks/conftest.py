"""One site for all attacks, and those who attack it."""

from collections.abc import Iterator

import pytest
from tests.support.intruder import Stage
from tests.support.site import ward


@pytest.fixture(scope="session")
def stage() -> Iterator[Stage]:
    """Return a running site; who breaks something of it puts it right again."""
    with ward() as made:
        yield Stage(made)
