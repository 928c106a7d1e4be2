"""The share tree is sound: proved by linear algebra that is not its own.

A library that checks its sharing by its own solver does not notice a gate that
hands its whole secret to one child; cloudflare/circl did so for years.
"""

from collections.abc import Callable, Iterator
from random import Random

import pytest

from sealward.seal import policy
from sealward.seal.policy import Gate, Tree
from sealward.seal.sharing import R, coins, occurrences, share, solve

Share = Callable[[Tree, int, Iterator[int]], list[int]]
NAMES = [f"a:{i}" for i in range(7)]


def spans(rows: list[list[int]], target: list[int], modulus: int) -> bool:
    """Say whether *target* is a linear combination of *rows* mod *modulus*."""
    basis: list[tuple[int, list[int]]] = []

    def reduced(row: list[int]) -> list[int]:
        row = row[:]
        for pivot, other in basis:
            if factor := row[pivot]:
                row = [
                    (x - factor * y) % modulus for x, y in zip(row, other, strict=True)
                ]
        return row

    for row in rows:
        rest = reduced(row)
        pivot = next((i for i, x in enumerate(rest) if x), None)
        if pivot is not None:
            inverse = pow(rest[pivot], -1, modulus)
            basis.append((pivot, [x * inverse % modulus for x in rest]))
    return not any(reduced(target))


def matrix(tree: Tree, sharing: Share) -> list[list[int]]:
    """Return each leaf's share as coefficients of the secret and the coins."""
    width = 1 + coins(tree)
    columns = []
    for unit in range(width):
        vector = [int(i == unit) for i in range(width)]
        columns.append(sharing(tree, vector[0], iter(vector[1:])))
    return [list(row) for row in zip(*columns, strict=True)]


def random_tree(random: Random, depth: int) -> Tree:
    """Return a tree, in normal form, of any shape and with attributes repeated."""
    if depth == 0 or random.random() < 0.3:
        return random.choice(NAMES)
    children = [random_tree(random, depth - 1) for _ in range(random.randint(2, 4))]
    k = random.choice([1, len(children), random.randint(1, len(children))])
    texts = ", ".join(f"({policy.text(child)})" for child in children)
    return policy.parse(f"{k} of ({texts})")


def broken_share(tree: Tree, secret: int, random: Iterator[int]) -> list[int]:
    """Share like the product, but hand an "and"'s whole secret to its last child."""
    if isinstance(tree, str):
        return [secret]
    n = len(tree.children)
    if not 1 < tree.k == n:
        child = Gate(tree.k, tuple(f"x:{i}" for i in range(n)))
        parts = share(child, secret, random)
    else:
        parts = [0 * next(random) for _ in range(n - 1)] + [secret]
    return [
        each
        for child, part in zip(tree.children, parts, strict=True)
        for each in broken_share(child, part, random)
    ]


def cases(count: int) -> Iterator[tuple[Tree, set[str]]]:
    """Yield *count* trees, each with some attributes."""
    random = Random(20780)  # noqa: S311 - the same trees every time
    while count:
        tree = random_tree(random, 3)
        if isinstance(tree, Gate):
            count -= 1
            yield tree, set(random.sample(NAMES, random.randint(0, 7)))


def authorised(tree: Tree, held: set[str], sharing: Share) -> bool:
    """Say whether *held*'s shares determine the secret, by elimination over Z_r."""
    rows = matrix(tree, sharing)
    own = [
        row for row, leaf in zip(rows, policy.leaves(tree), strict=True) if leaf in held
    ]
    return spans(own, [1] + [0] * (len(rows[0]) - 1), R)


def test_who_satisfies_the_words_and_nobody_else_can_join_the_secret() -> None:
    """Authorised, satisfied and solvable are one and the same set."""
    allowed = 0
    for tree, held in cases(400):
        solution = solve(tree, held)
        assert authorised(tree, held, share) == (solution is not None)
        assert policy.satisfied(tree, held) == (solution is not None)
        if solution is not None:
            allowed += 1
            rows = matrix(tree, share)
            joined = [
                sum(weight * rows[leaf][column] for leaf, weight in solution.items())
                % R
                for column in range(len(rows[0]))
            ]
            assert joined == [1] + [0] * (len(joined) - 1)
    assert 50 < allowed < 350


def test_a_broken_gate_is_noticed() -> None:
    """The check above would have seen the fault that others shipped."""
    noticed = sum(
        authorised(tree, held, broken_share) != policy.satisfied(tree, held)
        for tree, held in cases(80)
    )
    assert noticed > 5


def test_the_smallest_set_is_chosen() -> None:
    """Each leaf used costs the reader a decoding and a multiplication."""
    tree = policy.parse("(a:1 and a:2) or a:3 or 2 of (a:1, a:2, a:4)")
    assert solve(tree, {"a:1", "a:2", "a:3"}) == {2: 1}
    assert solve(tree, {"a:1", "a:2"}) == {0: 1, 1: 1}
    assert solve(tree, {"a:1"}) is None


def generic(text: str, coalition: list[list[str]], *, published: bool) -> bool:
    """Say whether a coalition's products span the key of the first ciphertext.

    In the generic group whoever multiplies and pairs gets the span of all products
    of a G1 element with a G2 element, and what is given away in GT; here two
    ciphertexts, the second one's key given away. *published*: [alpha]g2 is seen.
    Monomials are told apart by their values at random points of Z_r.
    """
    tree = policy.parse(text)
    leaves, rows = policy.leaves(tree), occurrences(tree)
    names = sorted({*leaves, *(name for held in coalition for name in held)})

    def at(point: int) -> tuple[list[int], int]:
        random = Random(point)  # noqa: S311 - the same points every time

        def draw(count: int) -> list[int]:
            return [random.randrange(1, R) for _ in range(count)]

        alpha, base = draw(2)
        hashed = dict(zip(names, draw(len(names)), strict=True))
        g1, g2, gt = [1, base, *hashed.values()], [1], [alpha]
        g2 += [alpha] if published else []
        for held in coalition:
            (r,) = draw(1)
            g1 += [hashed[name] * r for name in held] + [alpha + base * r]
            g2.append(r)
        secrets = []
        for _ in range(2):
            first, *repeats = draw(2 + max(rows))
            shares = share(tree, first, iter(draw(coins(tree))))
            g1 += [
                part * base + repeats[row] * hashed[leaf]
                for leaf, part, row in zip(leaves, shares, rows, strict=True)
            ]
            g2 += [first, *repeats]
            secrets.append(alpha * first % R)
        return [x * y % R for x in g1 for y in g2] + gt + secrets[1:], secrets[0]

    points = [at(0)]
    points += [at(i) for i in range(1, len(points[0][0]) + 8)]
    columns = [list(column) for column in zip(*(p[0] for p in points), strict=True)]
    return spans(columns, [p[1] for p in points], R)


@pytest.mark.parametrize("published", [False, True])
@pytest.mark.parametrize(
    ("text", "coalition", "opens"),
    [
        ("a:1 and a:2", [["a:1", "a:2"]], True),
        ("a:1 and a:2", [["a:1"], ["a:2"]], False),
        ("(a:1 and a:2) or a:3", [["a:1"], ["a:2"]], False),
        ("2 of (a:1, a:2, a:3)", [["a:1"], ["a:2"], ["a:3"]], False),
        ("2 of (a:1, a:2, a:3)", [["a:1", "a:3"]], True),
        ("(a:1 and a:2) or (a:1 and a:3)", [["a:1"], ["a:2"]], False),
        ("(a:1 and a:2) or (a:1 and a:3)", [["a:1", "a:3"]], True),
    ],
)
def test_a_coalition_gains_nothing(
    text: str, coalition: list[list[str]], *, opens: bool, published: bool
) -> None:
    """Publishing [alpha]g2 in place of e(g1, g2)^alpha gives nothing away either."""
    assert generic(text, coalition, published=published) is opens
