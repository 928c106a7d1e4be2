"""Attacks on a running site: stolen credentials, and where a refusal leaves its trace.

A refusal is looked for where an operator would: in the counters of the process that
refused, in ``store.refused`` for a packet, in custody's audit chain for a decision.
"""

import asyncio
import contextlib
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from tests.support import mqtt_client as raw
from tests.support.attacker import Device
from tests.support.mqtt_client import Client
from tests.support.site import Ward, until

from sealward import clock, metrics
from sealward.bedside.credential import Credential, Keeper
from sealward.custody import certificates, names
from sealward.custody.credentials import epoch_of, midnight
from sealward.custody.desk import Desk
from sealward.custody.slips import Slips
from sealward.errors import RefusalError, UnreadableError
from sealward.records.session import Session, as_role
from sealward.seal import cbor, receipt, signing
from sealward.seal.receipt import Code, Message, Receipt, Refusal
from sealward.wire import desk, tls
from sealward.wire.broker import Broker
from sealward.wire.tls import Identity

SOON = 12.0  # seconds for a trace to be there; intake writes its own each five


def request_of(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return a certificate request for *key*, in DER."""
    name = x509.Name([])
    asked = x509.CertificateSigningRequestBuilder().subject_name(name)
    return asked.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


@dataclass(kw_only=True)
class Gateway(Device):
    """A gateway that was enrolled by the book, and whose keys the test holds."""

    keeper: Keeper
    bed: Credential
    uid: str

    @property
    def context(self) -> ssl.SSLContext:
        """Return how it shakes hands."""
        return tls.client(self.bed.identity)

    def topic(self, level: str = "vitals") -> str:
        """Return its own topic of *level*."""
        return f"telemetry/{self.alias}/{level}"

    def signed(self, *words: object) -> bytes:
        """Return the gateway's own signature over *words*, as custody wants it."""
        return signing.sign(self.keeper.idevid, cbor.encode(list(words)))

    def told(self, client: Client) -> list[Message]:
        """Return the server's words that *client* has heard, each verified."""
        custody = signing.from_spki(self.bed.pins.custody)
        slip = self.bed.slip
        certified = [
            receipt.ServiceCertificate.verify(custody, each)
            for each in slip.certificates
        ]
        now = int(clock.now().timestamp())
        found = [
            receipt.verify(
                data, self.alias, certified, partition=slip.partition, now=now
            )
            for topic, data in list(client.heard)
            if topic == f"cmd/{self.alias}/receipt"
        ]
        return [message for message in found if message is not None]

    def codes(self, client: Client) -> dict[int, Code]:
        """Return by which code each number was refused, as *client* has heard."""
        told = self.told(client)
        return {each.seq: each.code for each in told if isinstance(each, Refusal)}

    def upto(self, client: Client) -> int:
        """Return below which number all is receipted, as *client* has heard."""
        told = self.told(client)
        return max((each.upto for each in told if isinstance(each, Receipt)), default=0)


@dataclass(frozen=True, kw_only=True)
class Reader:
    """A reader that was enrolled by the book, and whose key the test holds."""

    person: str
    key: ec.EllipticCurvePrivateKey
    folder: Path

    def signed(self, *words: object) -> bytes:
        """Return the reader's signature over *words*."""
        return signing.sign(self.key, cbor.encode(list(words)))

    def asks(
        self, patient: str, first: int, last: int, now: datetime, person: str = ""
    ) -> Mapping[str, object]:
        """Return the request at *now* for the salts of *patient*'s days.

        *person* is whom it names instead of the one who signs it.
        """
        at, who = int(now.timestamp() * 1000), person or self.person
        words = ("sealward/1 salts", who, patient, first, last, at)
        return {
            "person": who,
            "patient": patient,
            "first": first,
            "last": last,
            "at": at,
            "signature": self.signed(*words),
        }


class Stage:
    """A running site, and what an attack on it needs."""

    def __init__(self, ward: Ward) -> None:
        self.ward = ward
        self.site = ward.site
        self.root = ward.site.root
        self.desk = self.root / "custody/desk.sock"
        self._folders = 0

    @property
    def broker(self) -> Broker:
        """Return the site's broker."""
        assert self.site.broker is not None
        return self.site.broker

    # --- who attacks -------------------------------------------------------------

    def gateway(self) -> Gateway:
        """Enrol a patient and a gateway, and fetch today's credential for it."""
        [patient] = self.ward.enrol()
        keeper = Keeper(patient.gateway, self.desk)
        now = clock.now()
        bed = asyncio.run(keeper.credential(0, now, epoch_of(now)))
        until(lambda: self._certified(keeper, bed))
        [[cred]] = self.ward.rows(
            "select cred from registry.credential where alias = %s", bed.alias
        )
        assert isinstance(cred, int)
        return Gateway(
            alias=bed.alias,
            epoch=bed.epoch,
            cred=cred,
            key=bed.key,
            keeper=keeper,
            bed=bed,
            uid=patient.uid,
        )

    @staticmethod
    def _certified(keeper: Keeper, bed: Credential) -> bool:
        """Say whether *bed*'s slip names receipt keys: intake has just been started."""
        if not bed.slip.certificates:
            asyncio.run(keeper.renew_slip(bed, clock.now()))
        return bool(bed.slip.certificates)

    async def connect(self, who: Gateway, client_id: str | None = None) -> Client:
        """Connect as *who*, whatever the broker answers."""
        name = who.alias if client_id is None else client_id
        return await Client.dial(self.broker.mqtt_port, who.context, name)

    @contextlib.asynccontextmanager
    async def session(self, who: Gateway) -> AsyncIterator[Client]:
        """Connect as *who*, be admitted, and hear what the server tells it."""
        client = await self.connect(who)
        try:
            assert await client.connack == 0
            assert await client.subscribe(f"cmd/{who.alias}/#") == 0
            yield client
        finally:
            client.close()

    def certified(self, alias: str, key: ec.EllipticCurvePrivateKey) -> Path:
        """Certify *key* as *alias* as who has stolen the device authority would."""
        authority = certificates.load(self.root / "custody", "device-ca")
        begin = midnight(epoch_of(clock.now()))
        made = certificates.credential(authority, request_of(key), alias, begin)
        folder = self.root / "stolen"
        folder.mkdir(exist_ok=True)
        path = folder / f"{made.serial_number:x}.pem"
        path.write_bytes(certificates.pem(made))
        return path

    def shakes(
        self, certificate: Path, key: ec.EllipticCurvePrivateKey
    ) -> ssl.SSLContext:
        """Return how one shakes hands who has *key* and its *certificate*."""
        private = certificate.with_suffix(".key")
        private.write_bytes(signing.private_pem(key))
        anchor = self.root / "custody/service-ca.pem"
        return tls.client(
            Identity(certificate=certificate, key=private, authority=anchor)
        )

    def keeper(self) -> Keeper:
        """Return a gateway's folder, with an identity that nobody has enrolled."""
        self._folders += 1
        return Keeper(self.root / f"stranger-{self._folders}", self.desk)

    def ask(self, verb: str, args: Mapping[str, object], of: str = "custody") -> str:
        """Ask a desk's process; return the word by which it refuses, or ""."""
        path = self.root / of / "desk.sock"
        try:
            asyncio.run(desk.call(path, verb, args))
        except desk.DeskRefusedError as error:
            return error.word
        return ""

    def end(self, alias: str) -> None:
        """Let the credential of *alias* have ended an hour ago."""
        [_] = self.ward.rows(
            "update registry.credential set"
            " valid = tstzrange(lower(valid), now() - interval '1 hour')"
            " where alias = %s returning cred",
            alias,
        )

    @contextlib.contextmanager
    def desk_at(self, now: datetime) -> Iterator[Desk]:
        """Give a desk of custody's on the site's own database, where it is *now*."""
        folder = self.root / "custody"
        session = Session(as_role(self.site.url, "custody"))
        try:
            yield Desk(folder, session, Slips(folder, 1), lambda: now)
        finally:
            session.close()

    def reader(self, *attributes: str) -> "Reader":
        """Enrol a reader by the book, with *attributes*."""
        self._folders += 1
        folder = self.ward.reader(f"attacker-{self._folders}", *attributes)
        card = cbor.decode((folder / "reader.cbor").read_bytes())
        assert isinstance(card, dict)
        key = signing.from_private_pem((folder / "reader.key").read_bytes())
        return Reader(person=str(card["person"]), key=key, folder=folder)

    def patient(self, of: Gateway) -> str:
        """Return custody's own name of the patient at the gateway *of*."""
        [[patient]] = self.ward.rows(
            "select patient_id from registry.patient where uid = %s",
            names.read_uid(of.uid),
        )
        return str(patient)

    def restart(self, process: str) -> None:
        """Stop *process* and start it anew; its counters begin at nought again."""
        self.stop(process)
        path = self.root / process / "metrics.prom"
        path.unlink(missing_ok=True)
        self.site.launcher.start(process, process)
        until(path.exists)

    def stop(self, process: str) -> None:
        """Stop *process*."""
        self.site.launcher.stop([process])

    # --- traces ----------------------------------------------------------------------

    def counters(self, process: str) -> Mapping[str, int]:
        """Return what *process*'s counters stand at."""
        return metrics.read(self.root / process / "metrics.prom")

    @contextlib.contextmanager
    def counts(self, process: str, *names: str) -> Iterator[None]:
        """Demand that within the block, or soon after, each of *names* rises by one.

        A name that is given twice rises by two.
        """
        wanted = Counter(f"sealward_{name}" for name in names)
        before = self.counters(process)

        def risen() -> bool:
            now = self.counters(process)
            return all(
                now.get(name, 0) >= before.get(name, 0) + by
                for name, by in wanted.items()
            )

        yield
        until(risen, SOON)

    def refused(self, cred: int) -> dict[str, tuple[int, bytes]]:
        """Return of ``store.refused`` how many of *cred* by word, and the first's."""
        found = self.ward.rows(
            "select reason, n, digest from store.refused where cred = %s", cred
        )
        return {str(word): (int(str(n)), bytes(d)) for word, n, d in found}  # type: ignore[call-overload]

    def stored(self, cred: int) -> dict[tuple[int, int], bytes]:
        """Return the packets of *cred* in the record, by (epoch, number)."""
        found = self.ward.rows(
            "select day - '1970-01-01', seq, body from store.packet where cred = %s",
            cred,
        )
        return {(int(str(e)), int(str(s))): bytes(b) for e, s, b in found}  # type: ignore[call-overload]

    def audited(self, act: str, subject: str) -> list[Mapping[str, object]]:
        """Return the details of custody's audit entries of *act* and *subject*."""
        found = self.ward.rows(
            "select detail from audit.entry"
            " where chain = 'sealward_custody' and act = %s and subject = %s"
            " order by n",
            act,
            subject,
        )
        return [dict(detail) for (detail,) in found]  # type: ignore[call-overload]

    def whys(self, certificate: Path) -> list[object]:
        """Return the words by which custody refused *certificate*, from its audit."""
        leaf = x509.load_pem_x509_certificate(certificate.read_bytes())
        subject = leaf.fingerprint(hashes.SHA256()).hex()
        return [each["reason"] for each in self.audited("connection.refused", subject)]

    def granted(self, person: str) -> list[tuple[object, ...]]:
        """Return the authority's own audit entries of keys granted to *person*."""
        return self.ward.rows(
            "select detail from audit.entry where chain = 'sealward_authority'"
            " and act = 'key.granted' and subject = %s",
            person,
        )


def word_of(act: Callable[[], object]) -> str:
    """Return the word by which *act* is refused or cannot read, "" if it does."""
    try:
        act()
    except (RefusalError, UnreadableError) as error:
        return error.reason
    return ""


def digest(packet: bytes) -> bytes:
    """Return what ``store.refused`` keeps of *packet*."""
    return sha256(packet).digest()


async def said(client: Client, topic: str, *payloads: bytes) -> None:
    """Publish *payloads* on *topic* and wait until the broker has taken them."""
    have, first = len(client.acks), len(client.acks) + 1
    for number, payload in enumerate(payloads, first):
        client.send(raw.publish(topic, payload, number))
    async with asyncio.timeout(10):
        while len(client.acks) < have + len(payloads):  # noqa: ASYNC110 - no event of its own
            await asyncio.sleep(0.01)


async def soon(what: Callable[[], bool], seconds: float = SOON) -> None:
    """Wait until *what* is true, while the connection that it is about goes on."""
    async with asyncio.timeout(seconds):
        while not await asyncio.to_thread(what):  # noqa: ASYNC110 - knows no event
            await asyncio.sleep(0.05)


def refusals(kind: str, *words: str) -> list[str]:
    """Return the names of the counters of refused *kind* by *words*, to be counted."""
    return [f'{kind}_refused{{reason="{word}"}}' for word in words]


async def works(stage: Stage, gateway: Gateway, client: Client, seq: int) -> None:
    """Demand that *client* is heard: *gateway*'s packet *seq* is stored, receipted."""
    slot = gateway.slot(int(clock.now().timestamp() * 1000))
    packet = gateway.packet(seq, slot=slot)
    await said(client, gateway.topic(), packet)
    await soon(lambda: packet in stage.stored(gateway.cred).values())
    await soon(lambda: gateway.upto(client) == seq + 1)
