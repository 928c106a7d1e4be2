"""A topic says whose it is, and nothing else passes for one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealward.wire import telemetry, topics
from sealward.wire.topics import Alias

ALIASES = st.from_regex(topics.ALIAS, fullmatch=True).map(Alias)


@given(ALIASES)
def test_what_is_named_is_read_again(alias: Alias) -> None:
    """MQTT's names are NATS' with other separators."""
    assert topics.read_live(topics.live(alias)) == alias
    assert topics.read_command(topics.command(alias, "receipt")) == (alias, "receipt")
    mqtt = topics.telemetry(alias, "vitals").split("/")
    assert topics.read_stored(".".join(["t", "3", *mqtt[1:]])) == (3, alias, "vitals")
    assert topics.coc(alias).replace("/", ".") == topics.coc_subject(alias)
    verb = topics.command(alias, "ping")
    assert verb.replace("/", ".") == topics.command_subject(alias, "ping")
    assert verb.startswith(topics.commands(alias).rstrip("#"))
    assert 0 <= telemetry.partition(alias) < telemetry.PARTITIONS


@pytest.mark.parametrize(
    "subject",
    [
        "t.8." + "a" * 26 + ".vitals",
        "t.1." + "a" * 25 + ".vitals",
        "t.1." + "A" * 26 + ".vitals",
        "t.1." + "a" * 26 + ".vitals.x",
        "t.1." + "a" * 26 + ".",
        "telemetry.1." + "a" * 26 + ".vitals",
        "t.1." + "a" * 26 + ".vitals\n",
        "",
    ],
)
def test_what_is_no_stored_packet_is_not_read(subject: str) -> None:
    """The alphabet leaves no separator and no wildcard."""
    assert topics.read_stored(subject) is None


@given(st.text(max_size=60))
def test_strange_topics_name_nobody(text: str) -> None:
    """No text raises anything, and few name anybody."""
    assert topics.read_stored(text) is None
    assert topics.read_live(text) is None
    assert topics.read_command(text) is None


def test_a_commands_topic_has_three_levels() -> None:
    """A longer one is another topic."""
    assert topics.read_command(f"cmd/{'a' * 26}/receipt/x") is None
    assert topics.read_command(f"cmd/{'a' * 25}/receipt") is None
    assert topics.read_live(f"live.{'a' * 26}.x") is None
