"""Share a secret over a policy's leaves, and join the shares that suffice.

Linear secret sharing over Z_r (A. Beimel, 1996): "or" hands its secret on, "and"
splits it into a sum, k of n is Shamir's polynomial.
"""

from collections.abc import Iterator
from collections.abc import Set as AbstractSet

from sealward.seal.policy import Gate, Tree, leaves

R = 0x73EDA753299D7D483339D80809A1D80553BDA402FFFE5BFEFFFFFFFF00000001  # BLS12-381's r


def coins(tree: Tree) -> int:
    """Return how many random numbers ``share`` draws for *tree*."""
    if isinstance(tree, str):
        return 0
    return tree.k - 1 + sum(map(coins, tree.children))


def occurrences(tree: Tree) -> list[int]:
    """Return, for each leaf, how many earlier leaves bear the same attribute."""
    seen: dict[str, int] = {}
    result = []
    for leaf in leaves(tree):
        result.append(seen.get(leaf, 0))
        seen[leaf] = result[-1] + 1
    return result


def share(tree: Tree, secret: int, random: Iterator[int]) -> list[int]:
    """Return a share mod r for each leaf of *tree*, left to right.

    Depth first; a gate draws from *random* before its children do, so that the
    order of the coins is part of the format.
    """
    if isinstance(tree, str):
        return [secret]
    k, n = tree.k, len(tree.children)
    drawn = [next(random) for _ in range(k - 1)]
    if k == 1:
        parts = [secret] * n
    elif k == n:
        parts = [*drawn, (secret - sum(drawn)) % R]
    else:
        polynomial = [secret, *drawn]
        parts = [
            sum(c * pow(x, power, R) for power, c in enumerate(polynomial)) % R
            for x in range(1, n + 1)
        ]
    return [
        each
        for child, part in zip(tree.children, parts, strict=True)
        for each in share(child, part, random)
    ]


def solve(tree: Tree, attributes: AbstractSet[str]) -> dict[int, int] | None:
    """Return a smallest set of leaves that satisfies *tree*, each with its weight.

    The sum of the weighted shares is the secret. None if *attributes* do not
    satisfy *tree*. Of sets of equal size, the leftmost.
    """
    return _solve(tree, attributes, 0)[0]


def _solve(
    tree: Tree, attributes: AbstractSet[str], first: int
) -> tuple[dict[int, int] | None, int]:
    """Solve *tree*, whose leaves are numbered from *first*; and count its leaves."""
    if isinstance(tree, str):
        return ({first: 1} if tree in attributes else None), 1
    found: list[tuple[int, int, dict[int, int]]] = []
    count = 0
    for x, child in enumerate(tree.children, 1):
        chosen, below = _solve(child, attributes, first + count)
        count += below
        if chosen is not None:
            found.append((len(chosen), x, chosen))
    if len(found) < tree.k:
        return None, count
    found = sorted(found, key=lambda each: each[:2])[: tree.k]
    weights = _weights(tree, [x for _, x, _ in found])
    return {
        leaf: weight * outer % R
        for outer, (_, _, chosen) in zip(weights, found, strict=True)
        for leaf, weight in chosen.items()
    }, count


def _weights(gate: Gate, points: list[int]) -> list[int]:
    """Return the weights at *points*: 1 for "or" and "and", else Lagrange's at 0."""
    if not 1 < gate.k < len(gate.children):
        return [1] * len(points)
    result = []
    for x in points:
        weight = 1
        for other in points:
            if other != x:
                weight = weight * other * pow(other - x, -1, R) % R
        result.append(weight)
    return result
