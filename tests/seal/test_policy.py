"""The policy language has one meaning, in text, as a tree and as bytes."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealward.seal import cbor, policy
from sealward.seal.policy import Gate, PolicyError, PolicyLimitError, Tree

VECTORS = json.loads(
    (Path(__file__).parents[1] / "vectors/policy/policy.json").read_text(
        encoding="utf-8"
    )
)

ATTRIBUTES = st.sampled_from(["a:1", "b:2", "ward:icu~3", "t.day:2026-11-23", "of-x:9"])
TEXTS = st.recursive(
    ATTRIBUTES,
    lambda inner: st.one_of(
        st.tuples(inner, inner).map(lambda pair: f"({pair[0]} and {pair[1]})"),
        st.tuples(inner, inner).map(lambda pair: f"{pair[0]} or {pair[1]}"),
        st.lists(inner, min_size=3, max_size=4).map(
            lambda many: f"2 of ({', '.join(many)})"
        ),
    ),
    max_leaves=12,
)


@pytest.mark.parametrize("case", VECTORS["good"], ids=lambda case: case["text"][:40])
def test_a_policy_has_one_tree(case: dict[str, object]) -> None:
    """Text, canonical text, tree and wire form agree with every implementation."""
    tree = policy.parse(str(case["text"]))
    assert policy.canonical(tree) == case["canon"]
    assert policy.wire(tree) == case["ast"]
    assert policy.tree(case["ast"]) == tree
    assert len(policy.leaves(tree)) == case["leaves"]


@pytest.mark.parametrize("text", VECTORS["bad"], ids=lambda text: repr(text)[:40])
def test_what_is_no_policy_is_refused(text: str) -> None:
    """No text is repaired or half read."""
    with pytest.raises(PolicyError):
        policy.parse(text)


@pytest.mark.parametrize("item", VECTORS["bad_trees"], ids=repr)
def test_what_is_no_tree_is_refused(item: object) -> None:
    """A tree that is not in normal form would be a second form of one policy."""
    with pytest.raises(PolicyError):
        policy.tree(item)


@given(TEXTS)
def test_a_tree_survives_text_and_bytes(text: str) -> None:
    """What a person is shown, and what travels, is the policy itself."""
    try:
        tree = policy.parse(text)
    except PolicyLimitError:
        return
    assert policy.parse(policy.text(tree)) == tree
    assert policy.tree(cbor.decode(cbor.encode(policy.wire(tree)))) == tree


@given(st.text("ab:12()~,of and\t", max_size=60) | st.text(max_size=40))
def test_any_text_is_a_policy_or_refused(text: str) -> None:
    """A parser that fails otherwise is a way to stop a gateway."""
    try:
        policy.parse(text)
    except PolicyError:
        return


@pytest.mark.parametrize(
    "text",
    [
        "a:" + "x" * 127,
        " or ".join(f"a:{i}" for i in range(65)),
        "(" * 33 + "a:1" + ")" * 33,
        "a:1" + " " * 8192,
        "a:1 and (a:1 or " * 5 + "b:2" + ")" * 5,
    ],
)
def test_what_is_too_large_says_so(text: str) -> None:
    """Limits hold before any curve work, and the word is their own."""
    with pytest.raises(PolicyLimitError):
        policy.parse(text)


def test_the_limits_themselves_are_allowed() -> None:
    """64 leaves, 8 levels, 32 parentheses and 128 characters are within."""
    assert len(policy.leaves(policy.parse(" or ".join(["a:1"] * 64)))) == 64
    policy.parse("(" * 32 + "a:1" + ")" * 32)
    policy.parse("a:" + "x" * 126)
    policy.parse("a:1 and (a:1 or " * 4 + "b:2" + ")" * 4)


@pytest.mark.parametrize(
    ("text", "held", "holds"),
    [
        ("a:1", {"a:1"}, True),
        ("a:1 and b:2", {"a:1"}, False),
        ("a:1 or b:2", {"b:2"}, True),
        ("2 of (a:1, b:2, c:3)", {"a:1", "c:3"}, True),
        ("2 of (a:1, b:2, c:3)", {"c:3"}, False),
        ("ward:icu~1", {"ward:icu"}, False),
    ],
)
def test_satisfaction_is_what_the_words_say(
    text: str, held: set[str], *, holds: bool
) -> None:
    """The API asks the same question that the curve asks."""
    assert policy.satisfied(policy.parse(text), held) is holds


def test_true_is_not_one() -> None:
    """Python takes True for 1; a threshold is a number."""
    tree: Tree = policy.tree([1, ["a:1", "b:2"]])
    assert tree == Gate(1, ("a:1", "b:2"))
    with pytest.raises(PolicyError):
        policy.tree([True, ["a:1", "b:2"]])
