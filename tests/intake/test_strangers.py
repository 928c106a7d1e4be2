"""A new gateway is looked up at once, and one that is none costs little."""

from sealward.intake.strangers import MOST, PAUSE, Strangers


def test_each_new_gateway_is_asked_about_at_once() -> None:
    """Though another was a moment ago: after an outage all come together."""
    strangers = Strangers()
    assert all(strangers.worth_asking(f"alias {n}", 1000) for n in range(100))


def test_one_alias_is_asked_about_now_and_then() -> None:
    """Ten thousand packets of an ended credential within a second cost ten looks."""
    strangers = Strangers()
    asked = sum(strangers.worth_asking("ended", n // 10) for n in range(10_000))
    assert asked == 1000 // PAUSE


def test_a_clock_that_is_set_back_bars_nobody() -> None:
    """Else an alias asked about at the wrong time would wait for that time to come."""
    strangers = Strangers()
    assert strangers.worth_asking("new", 1_000_000)
    assert strangers.worth_asking("new", 1000)


def test_a_flood_of_names_fills_no_memory() -> None:
    """Above the limit nobody is asked about, until the pause is over."""
    strangers = Strangers()
    asked = [strangers.worth_asking(f"alias {n}", 0) for n in range(2 * MOST)]
    assert sum(asked) == MOST
    assert not strangers.worth_asking("new", PAUSE - 1)
    assert strangers.worth_asking("new", PAUSE)
