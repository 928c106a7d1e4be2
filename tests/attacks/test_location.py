"""Location: nothing that an outsider or the broker sees says where a patient lies."""

import os
import socket
import uuid

from cryptography.hazmat.primitives.asymmetric import ec

from sealward.custody import names
from sealward.packet.profile import BED_1
from sealward.seal import keys, signing
from sealward.seal.curve import Hybrid
from sealward.seal.kem import Kem
from sealward.seal.sealing import ContentKey

KEM = Kem(Hybrid())
MPK = KEM.master(KEM.backend.e(KEM.backend.g2))
CHANCE = 6  # bytes; a shorter name stands in one packet in some thousands by chance


def record(policy: str) -> bytes:
    """Return a key packet under *policy*."""
    key = ec.generate_private_key(ec.SECP256R1())
    content = ContentKey.make(
        KEM,
        alias=names.alias(os.urandom(26)),
        epoch=20_780,
        purpose=keys.LIVE,
        salt=os.urandom(32),
        salt_epoch=20_780,
        mpk=MPK,
        policy_text=policy,
        policy_number=1,
        pseudonym="7g4m2qk9x0tb",
        profile_hash=BED_1.digest(),
        idevid=key,
        ldevid=signing.spki(key.public_key()),
        random=os.urandom(80),
    )
    return content.key_packet(0, 0, key)


def test_a_policy_is_hidden_from_whoever_lacks_the_salt() -> None:
    """A ward in the clear would be a place; the record has no word of it."""
    packet = record("role:nurse and (ward:intensive or care:9k2m4x)")
    for word in (b"ward", b"intensive", b"role", b"nurse", b"care", b"7g4m2qk9x0tb"):
        assert word not in packet


def test_a_records_length_tells_leaves_and_no_place() -> None:
    """Wards whose names are of one length are told apart by nothing."""
    lengths = {len(record(f"role:nurse and ward:{ward}")) for ward in ("icu", "ort")}
    assert len(lengths) == 1
    assert len(record("role:nurse and ward:icu and site:x")) not in lengths


def test_no_packet_names_this_machine() -> None:
    """Neither host name nor network address is in what a gateway sends."""
    packet = record("role:nurse")
    node = uuid.getnode().to_bytes(6, "big")
    name = socket.gethostname().encode()
    assert len(name) < CHANCE or name not in packet
    assert node not in packet
    assert node.hex().encode() not in packet
