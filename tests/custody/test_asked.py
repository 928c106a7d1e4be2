"""What somebody asks of a desk is of its type and within its limit, or refused."""

from uuid import UUID, uuid4

import pytest

from sealward.custody import asked


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        (0, -1),
        (7, 8),
        (7, True),
        (7, 7.0),
        (7, "7"),
        (7, None),
    ],
)
def test_a_number_is_one_and_within_its_limit(good: object, bad: object) -> None:
    """A truth is none, though Python counts with it."""
    assert asked.number({"n": good}, "n", 7) == good
    with pytest.raises(ValueError, match="n is a number"):
        asked.number({"n": bad}, "n", 7)


@pytest.mark.parametrize("bad", [bytes(asked.BLOB + 1), 5, "text", None, [1]])
def test_bytes_are_bytes_and_not_too_many(bad: object) -> None:
    """A number is not so many zeros."""
    assert asked.blob({"b": bytes(asked.BLOB)}, "b") == bytes(asked.BLOB)
    with pytest.raises(ValueError, match="b is at most"):
        asked.blob({"b": bad}, "b")


@pytest.mark.parametrize("bad", ["x" * (asked.TEXT + 1), "a\0b", b"x", 5, None])
def test_a_text_is_one_that_the_database_keeps(bad: object) -> None:
    """The longest passes, and a character outside ASCII."""
    assert asked.text({"t": "é" * asked.TEXT}, "t") == "é" * asked.TEXT
    with pytest.raises(ValueError, match="t is a text"):
        asked.text({"t": bad}, "t")


@pytest.mark.parametrize(
    "bad", [["x"] * (asked.ITEMS + 1), "x", {"x": 1}, ["x", 5], ["a\0"], None]
)
def test_a_list_of_texts_is_a_short_list(bad: object) -> None:
    """A single text is no list of its letters."""
    assert asked.texts({"l": ["x"] * asked.ITEMS}, "l") == ("x",) * asked.ITEMS
    with pytest.raises(ValueError, match="is a"):
        asked.texts({"l": bad}, "l")


@pytest.mark.parametrize(
    "bad", [{8: b"x"}, {-1: b"x"}, {"0": b"x"}, {0: 5}, {0: "x"}, [b"x"], None]
)
def test_a_table_has_the_numbers_that_there_are(bad: object) -> None:
    """From 0 to the last, and bytes at each."""
    assert asked.blobs({"k": {0: b"a", 7: b"b"}}, "k", 7) == {0: b"a", 7: b"b"}
    with pytest.raises(ValueError, match=r"k (is a table|has numbers|is at most)"):
        asked.blobs({"k": bad}, "k", 7)


def test_a_uuid_is_its_text() -> None:
    """And nothing else is one."""
    made = uuid4()
    assert asked.uuid({"u": str(made)}, "u") == made
    for bad in (made, made.bytes, "x", None):
        with pytest.raises(ValueError, match=r"a text|badly formed"):
            asked.uuid({"u": bad}, "u")
    assert asked.uuid({"u": made.hex}, "u") == UUID(made.hex)


def test_what_is_not_there_is_said_to_lack() -> None:
    """A missing field is no empty one."""
    for read in (asked.number, asked.blob, asked.text, asked.texts, asked.uuid):
        with pytest.raises(KeyError):
            read({}, "x")
