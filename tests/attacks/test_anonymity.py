"""Anonymity: an outsider cannot tie two days of one patient together."""

import asyncio
import os
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from tests.support.device import enrolled
from tests.support.site import Ward, until, ward

from sealward import clock
from sealward.bedside.credential import Keeper
from sealward.custody import certificates, names
from sealward.packet.grid import Grid, place
from sealward.packet.profile import BED_1
from sealward.seal import envelope, keys, signing
from sealward.seal.curve import Hybrid
from sealward.seal.envelope import Kind
from sealward.seal.kem import Kem
from sealward.seal.sealing import ContentKey
from sealward.vitals.reading import Reading, read

SHARED = 8  # bytes in common that would be a trace
FORM = 4  # bytes in common with a stranger that show form, not content
MIDNIGHT = datetime(2026, 11, 23, tzinfo=UTC)


@pytest.fixture(scope="module")
def site() -> Iterator[Ward]:
    """Return a site."""
    with ward() as made:
        yield made


def grams(data: bytes, length: int) -> list[bytes]:
    """Return the strings of *length* bytes in *data*, by where they begin."""
    return [data[at : at + length] for at in range(len(data) - length + 1)]


def own(data: bytes, everybodys: set[bytes]) -> set[bytes]:
    """Return the strings of SHARED bytes in *data* with nothing of *everybodys*.

    Where form and content meet, some bytes of form and one by chance are no trace.
    """
    form = {
        at + byte
        for at, gram in enumerate(grams(data, FORM))
        if gram in everybodys
        for byte in range(FORM)
    }
    return {
        gram
        for at, gram in enumerate(grams(data, SHARED))
        if form.isdisjoint(range(at, at + SHARED))
    }


def request(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return a certificate request by *key*."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    asked = builder.sign(key, hashes.SHA256())
    return asked.public_bytes(serialization.Encoding.DER)


@dataclass(frozen=True)
class Bed:
    """What stays the same from day to day."""

    pseudonym: str = field(default_factory=lambda: names.pseudonym(os.urandom(16)))
    idevid: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1())
    )
    salt: bytes = field(default_factory=lambda: os.urandom(32))


def day(
    authority: certificates.Authority, number: int, bed: Bed, *, told: bytes = b""
) -> bytes:
    """Return all that an outsider sees of *bed* on day *number*, and what is *told*."""
    key = ec.generate_private_key(ec.SECP256R1())
    alias = names.alias(os.urandom(26))
    midnight = MIDNIGHT + timedelta(days=number)
    leaf = certificates.credential(authority, request(key), alias, midnight)
    epoch = 20_780 + number
    content = ContentKey.make(
        Kem(Hybrid()),
        alias=alias,
        epoch=epoch,
        purpose=keys.LIVE,
        salt=bed.salt,
        salt_epoch=epoch,
        mpk=MPK,
        policy_text="role:nurse and ward:icu",
        policy_number=1,
        pseudonym=bed.pseudonym,
        profile_hash=BED_1.digest(),
        idevid=bed.idevid,
        ldevid=signing.spki(key.public_key()),
        random=os.urandom(80),
    )
    packets = [content.key_packet(0, 0, key)]
    packets += [
        content.seal(Kind.VITALS, seq, seq * 6, os.urandom(40), signing_key=key)
        for seq in range(1, 4)
    ]
    return (
        told
        + alias.encode()
        + leaf.public_bytes(serialization.Encoding.DER)
        + b"".join(packets)
    )


MPK = Kem(Hybrid()).master(Kem(Hybrid()).backend.e(Hybrid().g2))


def test_two_days_of_one_device_share_no_trace() -> None:
    """What two days have in common, two strangers' days have in common as well."""
    authority = certificates.found("device-ca", MIDNIGHT)
    bed = Bed()
    # Of so many, each length that a signature may have is shared by some.
    strangers = [day(authority, number % 2, Bed()) for number in range(32)]
    form = {gram for stranger in strangers for gram in grams(stranger, FORM)}

    def traces(told: bytes) -> set[bytes]:
        first, second = (day(authority, number, bed, told=told) for number in range(2))
        return own(first, form) & own(second, form)

    assert traces(bed.pseudonym.encode()), "a trace would be seen"
    assert not traces(b"")


def test_aliases_serials_and_numbers_carry_no_pattern() -> None:
    """A thousand aliases are a thousand different draws over the whole alphabet."""
    aliases = [names.alias(os.urandom(26)) for _ in range(1000)]
    assert len(set(aliases)) == 1000
    assert all(re.fullmatch("[a-z2-7]{26}", alias) for alias in aliases)
    for place_ in range(26):
        letters = {alias[place_] for alias in aliases}
        assert len(letters) == 32


def phases(seed: int) -> list[tuple[int, int]]:
    """Return outer slot and rows of the packs of a bed whose sensor starts anywhere."""
    lots = random.Random(seed)  # noqa: S311 - a sensor's phase
    phase = lots.randrange(1_000_000_000)
    grid = Grid(BED_1.group(0), 60_000)
    start = int(MIDNIGHT.timestamp()) * 1_000_000_000
    for second in range(180):
        at = start + second * 1_000_000_000 + phase
        grid.add(Reading(vital="hr", at=at, value=70.0))
    packs = grid.due(start + 181 * 1_000_000_000)
    return [(place(pack.start_ms)[1], pack.rows) for pack in packs]


def test_a_sensors_phase_does_not_show_outside() -> None:
    """32 beds with sensors of every phase close the same packs at the same slots."""
    seen = {tuple(phases(seed)[1:]) for seed in range(32)}
    assert len(seen) == 1


def test_no_log_names_a_patient_or_ties_alias_and_patient(
    site: Ward, tmp_path: Path
) -> None:
    """UIDs are nowhere in logs and metrics; a pseudonym never stands by an alias."""
    device = enrolled(site, tmp_path)
    (patient,) = site.enrol(1)
    reader = site.reader("nurse", "role:nurse", "ward:icu")
    site.gateway("gateway-a", patient.gateway)
    read_ = site.watch("reader-a", reader)
    until(lambda: len(read_.names("opened", "vitals")) >= 2)
    site.site.launcher.stop(["gateway-a", "reader-a"])
    root = site.site.root
    files = [*(root / "log").glob("*.log"), *root.glob("*/metrics.prom")]
    files += [*(root / "broker").rglob("*.log"), root / "postgres/postgres.log"]
    text = "\n".join(path.read_text(errors="replace") for path in files)
    uids = [str(row[0]) for row in site.rows("select uid from registry.patient")]
    assert uids
    for uid in uids:
        assert uid not in text
        assert names.shown(names.PatientUid(uid)) not in text
    assert patient.pseudonym not in text
    assert device.alias


def test_a_new_day_is_a_new_alias_and_a_new_key(site: Ward, tmp_path: Path) -> None:
    """Started on another day, a gateway fetches what shares nothing with the old."""
    old = enrolled(site, tmp_path)
    keeper = Keeper(tmp_path, site.site.root / "custody/desk.sock")
    now = clock.now()
    new = asyncio.run(keeper.credential(0, now, old.epoch + 1))
    assert new.alias != old.alias
    assert signing.spki(new.key.public_key()) != signing.spki(old.key.public_key())
    kept = asyncio.run(keeper.credential(0, now, new.epoch))
    assert kept.alias == new.alias


def test_a_topic_and_a_header_tell_a_ten_second_slot_and_no_more() -> None:
    """Two readings milliseconds apart in one slot have one outer time."""
    key = ec.generate_private_key(ec.SECP256R1())
    alias = names.alias(os.urandom(26))
    packet = envelope.seal_packet(
        key, alias, b"kid1", Kind.VITALS, 0, 4320, 20_780, bytes(40)
    )
    outside = envelope.read(packet)
    assert (outside.slot, outside.epoch) == (4320, 20_780)
    moment = read("hr", 70, at=MIDNIGHT + timedelta(milliseconds=1234))
    assert place(moment.at // 1_000_000)[1] == 0
