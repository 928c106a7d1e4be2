"""The encapsulation gives the vectors' bytes and opens for nobody else."""

import json
from pathlib import Path
from typing import Any

import pytest

from sealward.errors import SealwardError, UnreadableError
from sealward.seal import policy
from sealward.seal.attributekey import AttributeKey, check_key
from sealward.seal.curve import Arkworks, Backend, Hybrid, PointError
from sealward.seal.granting import grant, setup
from sealward.seal.kem import (
    G1_IDENTITY,
    G2_IDENTITY,
    Kem,
    Trace,
)
from sealward.seal.opening import LoadedKey, UnsatisfiedError, decapsulate, load
from sealward.seal.signing import ForgedError

VECTORS = json.loads(
    (Path(__file__).parents[1] / "vectors/kem/kem.json").read_text(encoding="utf-8")
)
CASES = {case["name"]: case for case in VECTORS["cases"]}
GOOD = [name for name, case in CASES.items() if case["expect"] == "ok"]
BAD = [name for name, case in CASES.items() if case["expect"] == "reject"]


@pytest.fixture(scope="module", params=[Hybrid, Arkworks])
def kem(request: pytest.FixtureRequest) -> Kem:
    """Return the encapsulation on each backend."""
    backend: Backend = request.param()
    return Kem(backend)


def loaded(kem: Kem, case: Any) -> LoadedKey:  # noqa: ANN401 - a vector
    """Return the key of *case*."""
    key = case["key"]
    components = {name: bytes.fromhex(data) for name, data in key["d"].items()}
    return load(
        kem,
        AttributeKey(
            person="",
            issuance=0,
            d0=bytes.fromhex(key["d0"]),
            k=bytes.fromhex(key["k"]),
            components=components,
            mpk=bytes.fromhex(case.get("mpk", VECTORS["mpk"])),
        ),
    )


def opened(kem: Kem, case: Any) -> bytes:  # noqa: ANN401 - a vector
    """Return what *case*'s key finds in its ciphertext."""
    return decapsulate(
        kem,
        loaded(kem, case),
        policy.parse(case["policy"]),
        bytes.fromhex(case["ct"]),
        bytes.fromhex(case["ctx"]),
    )


def test_the_constants_are_those_of_every_other_implementation(kem: Kem) -> None:
    """Hashes, base point and the pairing's bytes agree with mcl, noble and blst."""
    b = kem.backend
    assert b.e(kem.base).hex() == VECTORS["base_point"]
    hashed = b.e(kem.point_of("role:clinician")).hex()
    assert hashed == VECTORS["hash_role_clinician"]
    assert b.pair([b.g1], [b.g2]).hex() == VECTORS["e_g1_g2"]
    mpk = kem.master(bytes.fromhex(VECTORS["mpk"]))
    assert mpk.id8.hex() == VECTORS["mpk_id"]
    assert b.e(b.mul(b.g2, int(VECTORS["alpha"], 16))).hex() == VECTORS["mpk"]


@pytest.mark.parametrize("name", GOOD)
def test_every_intermediate_value_is_the_vectors(kem: Kem, name: str) -> None:
    """A fault shows where it is made, not as other bytes at the end."""
    case, trace = CASES[name], Trace()
    tree, ctx = policy.parse(case["policy"]), bytes.fromhex(case["ctx"])
    mpk = kem.master(bytes.fromhex(VECTORS["mpk"]))
    message = bytes.fromhex(case["m"])
    ciphertext = kem.encrypt(mpk, tree, ctx, message, trace)
    assert policy.canonical(tree) == case["canon"]
    assert [f"{coin:064x}" for coin in trace.coins] == case["coins"]
    assert [f"{part:064x}" for part in trace.shares] == case["shares"]
    assert trace.occurrences == case["occurrence"]
    assert trace.pairing.hex() == case["Z"]
    assert ciphertext.hex() == case["ct"]
    assert kem.encapsulate(mpk, tree, ctx, message)[1].hex() == case["K"]
    assert opened(kem, case).hex() == case["K"]


@pytest.mark.parametrize("name", BAD)
def test_whatever_was_changed_is_refused(kem: Kem, name: str) -> None:
    """A changed ciphertext, context, policy or key gives an error and no key."""
    with pytest.raises((UnreadableError, PointError)):
        opened(kem, CASES[name])


def test_a_failure_does_not_say_where(kem: Kem) -> None:
    """Who is refused learns the cause only if it follows from public bytes."""
    messages = set()
    for name in BAD:
        try:
            opened(kem, CASES[name])
        except UnsatisfiedError:
            continue
        except UnreadableError as error:
            messages.add(str(error))
        except PointError:
            assert name.startswith(("key-", "mpk-"))
    assert len(messages) == 1


def test_a_refusal_names_what_opens(kem: Kem) -> None:
    """Whoever lacks an attribute is told the policy, in its own language."""
    with pytest.raises(UnsatisfiedError, match=r"t\.day:2026-11-23") as caught:
        opened(kem, CASES["unsatisfied"])
    text = str(caught.value).removeprefix("this opens to: ")
    assert policy.parse(text) == policy.parse(CASES["unsatisfied"]["policy"])


def test_a_granted_key_opens_and_checks(kem: Kem) -> None:
    """The authority's key is what its holder can verify with the public key alone."""
    alpha, mpk = setup(kem, bytes(range(48)))
    data = grant(
        kem, alpha, ["a:1", "b:2", "a:1"], bytes(range(1, 49)), person="p", issuance=3
    )
    key = AttributeKey.decode(data)
    assert (key.person, key.issuance, key.attributes) == (
        "p",
        3,
        frozenset(("a:1", "b:2")),
    )
    assert key.mpk == mpk
    assert key.encode() == data
    check_key(kem, key)
    tree = policy.parse("a:1 and b:2 or 2 of (c:1, a:1, a:1)")
    ciphertext, secret = kem.encapsulate(kem.master(mpk), tree, b"", bytes(32))
    assert decapsulate(kem, load(kem, key), tree, ciphertext, b"") == secret


def test_a_key_of_another_authority_is_noticed(kem: Kem) -> None:
    """A key whose parts do not belong together fails its holder's check."""
    alpha, _ = setup(kem, bytes(range(48)))
    one, two = (
        AttributeKey.decode(
            grant(kem, alpha, ["a:1"], bytes([i]) * 48, person="p", issuance=1)
        )
        for i in (1, 2)
    )
    fields = {
        "person": "p",
        "issuance": 1,
        "d0": one.d0,
        "k": one.k,
        "components": one.components,
        "mpk": one.mpk,
    }
    for change in (
        {"components": two.components},
        {"k": two.k},
        {"mpk": bytes.fromhex(VECTORS["mpk"])},
    ):
        forged: Any = {**fields, **change}
        with pytest.raises(ForgedError):
            check_key(kem, AttributeKey(**forged))


@pytest.mark.parametrize(
    "data",
    [b"", bytes(48), b"\xff" * 48, b"\x80" + bytes(46) + b"\x04", bytes(96), b"x" * 47],
)
def test_only_points_are_points(kem: Kem, data: bytes) -> None:
    """Rubbish behind an infinity flag and points off the subgroup are no points."""
    with pytest.raises(PointError):
        kem.g1(data)
    with pytest.raises(PointError):
        kem.g2(data)
    with pytest.raises(PointError):
        kem.g2(data * 2)


def test_the_identity_is_no_key(kem: Kem) -> None:
    """An identity would cancel what it stands for."""
    with pytest.raises(PointError):
        kem.g1(G1_IDENTITY)
    with pytest.raises(PointError):
        kem.master(G2_IDENTITY)


def test_an_attribute_key_has_one_encoding(kem: Kem) -> None:
    """A key whose bytes were touched is not read as some other key."""
    alpha, _ = setup(kem, bytes(range(48)))
    data = grant(kem, alpha, ["a:1", "b:2"], bytes(48), person="p", issuance=1)
    for broken in (data + b"\0", data[:-1], data.replace(b"b:2", b"a:1"), b"", b"\x85"):
        with pytest.raises(SealwardError):
            AttributeKey.decode(broken)
