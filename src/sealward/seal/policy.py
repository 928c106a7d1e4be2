"""State who may read: ``role:clinician and (ward:icu or care:7f3a)``.

One language wraps keys, guards the API and says what is granted. It has no "not":
the scheme beneath it is monotone, and "not revoked" is a new generation (``~8``).
Text becomes a tree in normal form, and only the tree travels.
"""

import re
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from sealward.errors import RefusalError

TEXT = 8 * 1024  # characters of source text
ATTRIBUTE = 128  # characters of one attribute
LEAVES = 64
DEPTH = 8  # gates within gates, in normal form
NESTING = 32  # parentheses within parentheses, in source text

_BLANK = r"[ \t\r\n]"
_ATTRIBUTE = re.compile(
    r"([a-z][a-z0-9_.-]*):[A-Za-z0-9_.@/-]+(?:~(?:0|[1-9][0-9]{0,8}))?"
)
_TOKEN = re.compile(
    rf"{_BLANK}*(?:(?P<sign>[(),])"
    rf"|(?P<of>[1-9][0-9]?){_BLANK}+of(?=[ \t\r\n(])"
    rf"|(?P<attribute>{_ATTRIBUTE.pattern})"
    r"|(?P<word>and|or)(?=[ \t\r\n(]))"
)


class PolicyError(RefusalError):
    """The text or the tree is not a policy."""

    reason = "policy"


class PolicyLimitError(PolicyError):
    """The policy is longer, wider or deeper than any reader accepts."""

    reason = "overlimit"


@dataclass(frozen=True, slots=True)
class Gate:
    """At least *k* of *children* must hold: k = 1 is "or", k = all is "and"."""

    k: int
    children: tuple["Tree", ...]


Tree = str | Gate


def parse(text: str) -> Tree:
    """Return the tree, in normal form, of a policy's source *text*.

    Raises:
        PolicyError: *text* is not a policy; the message says where.
        PolicyLimitError: it exceeds ``TEXT``, ``ATTRIBUTE``, ``LEAVES``, ``DEPTH``
            or ``NESTING``.
    """
    if len(text) > TEXT:
        raise PolicyLimitError(f"a policy has at most {TEXT} characters")
    return _limited(_Parser(text).whole())


def tree(item: object) -> Tree:
    """Return the tree of *item*, a decoded CBOR text or ``[k, [child, child, …]]``.

    Raises:
        PolicyError: *item* is no tree, or not in normal form.
        PolicyLimitError: it exceeds ``LEAVES``, ``DEPTH`` or ``ATTRIBUTE``.
    """
    return _limited(_tree(item, DEPTH))


def _tree(item: object, depth: int) -> Tree:
    """Return the tree of *item*, which may be *depth* gates deep."""
    if isinstance(item, str):
        return _attribute(item)
    if not isinstance(item, list) or len(item) != 2:  # noqa: PLR2004 - k, children
        raise PolicyError("a gate is a number and its children")
    k, children = item
    if depth == 0 or (isinstance(children, list) and len(children) > LEAVES):
        raise PolicyLimitError(f"a policy has {LEAVES} leaves and {DEPTH} levels")
    if type(k) is not int or not isinstance(children, list) or len(children) < 2:  # noqa: PLR2004
        raise PolicyError("a gate is a number and two children or more")
    gate = Gate(k, tuple(_tree(child, depth - 1) for child in children))
    if not 1 <= k <= len(children) or _normal(k, gate.children) != gate:
        raise PolicyError("a tree is sent in normal form")
    return gate


def wire(tree: Tree) -> object:
    """Return *tree* as it travels: text, or ``[k, [child, …]]``, for CBOR."""
    if isinstance(tree, str):
        return tree
    return [tree.k, [wire(child) for child in tree.children]]


def canonical(tree: Tree) -> str:
    """Return the text that is hashed for *tree*: a leaf, or ``2of(a:1,b:2)``.

    Different trees have different texts, as no attribute holds a bracket or comma.
    """
    if isinstance(tree, str):
        return tree
    return f"{tree.k}of({','.join(canonical(child) for child in tree.children)})"


def text(tree: Tree) -> str:
    """Return source text that a person can read and ``parse`` turns into *tree*."""
    if isinstance(tree, str):
        return tree
    n = len(tree.children)
    if 1 < tree.k < n:
        return f"{tree.k} of ({', '.join(text(child) for child in tree.children)})"
    word = " or " if tree.k == 1 else " and "
    return word.join(
        child if isinstance(child, str) else f"({text(child)})"
        for child in tree.children
    )


def leaves(tree: Tree) -> list[str]:
    """Return the attributes of *tree*, left to right, repeated as they are."""
    if isinstance(tree, str):
        return [tree]
    return [leaf for child in tree.children for leaf in leaves(child)]


def satisfied(tree: Tree, attributes: AbstractSet[str]) -> bool:
    """Say whether whoever holds *attributes* satisfies *tree*."""
    if isinstance(tree, str):
        return tree in attributes
    return sum(satisfied(child, attributes) for child in tree.children) >= tree.k


def _attribute(text: str) -> str:
    """Return *text* if it is an attribute."""
    match = _ATTRIBUTE.fullmatch(text)
    if not match or match[1] in ("and", "or", "of"):
        raise PolicyError("an attribute is written key:value or key:value~generation")
    if len(text) > ATTRIBUTE:
        raise PolicyLimitError(f"an attribute has at most {ATTRIBUTE} characters")
    return text


def _normal(k: int, children: tuple[Tree, ...]) -> Tree:
    """Return the normal form of *k* of *children*, which are in normal form.

    A single child stands for itself; "or" within "or" and "and" within "and" are
    one gate. The order stays as written.
    """
    n = len(children)
    if n == 1:
        return children[0]
    if 1 < k < n:
        return Gate(k, children)
    flat: list[Tree] = []
    for child in children:
        inner = isinstance(child, Gate) and child.k == (
            1 if k == 1 else len(child.children)
        )
        flat += child.children if inner and isinstance(child, Gate) else (child,)
    return Gate(1 if k == 1 else len(flat), tuple(flat))


def _depth(tree: Tree) -> int:
    """Return how many gates lie on the longest way to a leaf."""
    return 0 if isinstance(tree, str) else 1 + max(map(_depth, tree.children))


def _limited(tree: Tree) -> Tree:
    """Return *tree* if it is within the limits that every reader keeps."""
    if _depth(tree) > DEPTH:
        raise PolicyLimitError(f"a policy has at most {DEPTH} levels")
    if len(leaves(tree)) > LEAVES:
        raise PolicyLimitError(f"a policy has at most {LEAVES} leaves")
    return tree


def _tokens(text: str) -> Iterator[tuple[str, str, int]]:
    """Yield the tokens of *text*: kind, content and place; last one of kind "end"."""
    at, end = 0, len(text.rstrip(" \t\r\n"))
    while at < end:
        match = _TOKEN.match(text, at, end)
        if not match or not match.lastgroup:
            raise PolicyError(f"not a policy at character {at + 1}")
        content = match[match.lastgroup]
        kind = content if match.lastgroup in ("sign", "word") else match.lastgroup
        yield kind, content, match.start(match.lastgroup)
        at = match.end()
    yield "end", "", end


class _Parser:
    """Descend through one text; "and" binds tighter than "or"."""

    def __init__(self, text: str) -> None:
        self._rest = _tokens(text)
        self._next = next(self._rest)

    def _advance(self) -> tuple[str, str, int]:
        """Take the next token."""
        taken, self._next = self._next, next(self._rest, self._next)
        return taken

    def _demand(self, kind: str) -> None:
        """Take the next token, which must be of *kind*."""
        found, _, at = self._advance()
        if found != kind:
            raise PolicyError(f"{kind} was expected at character {at + 1}")

    def whole(self) -> Tree:
        """Return the tree of the whole text."""
        result = self._policy(0)
        self._demand("end")
        return result

    def _policy(self, nesting: int) -> Tree:
        return self._chain("or", self._conjunction, nesting)

    def _conjunction(self, nesting: int) -> Tree:
        return self._chain("and", self._primary, nesting)

    def _chain(self, word: str, part: Callable[[int], Tree], nesting: int) -> Tree:
        parts = [part(nesting)]
        while self._next[0] == word:
            self._advance()
            parts.append(part(nesting))
        return _normal(1 if word == "or" else len(parts), tuple(parts))

    def _primary(self, nesting: int) -> Tree:
        if nesting > NESTING:
            raise PolicyLimitError(f"parentheses nest at most {NESTING} deep")
        kind, content, at = self._advance()
        if kind == "attribute":
            return _attribute(content)
        if kind == "(":
            inner = self._policy(nesting + 1)
            self._demand(")")
            return inner
        if kind != "of":
            raise PolicyError(f"an attribute was expected at character {at + 1}")
        self._demand("(")
        parts = [self._policy(nesting + 1)]
        while self._next[0] == ",":
            self._advance()
            parts.append(self._policy(nesting + 1))
        self._demand(")")
        if int(content) > len(parts):
            raise PolicyError(f"more are asked for than listed at character {at + 1}")
        return _normal(int(content), tuple(parts))
