"""Custody's desk: who asks for what, and what is written of it.

Each verb checks the signature of whoever it serves (a gateway's identity key, a
person's registered key) over the request's own words, and writes the audit row in the
transaction that acts. The socket itself is for this host's processes alone.
"""

import json
import os
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from sealward.custody import asked, certificates, grants, names
from sealward.custody.admission import serial_of
from sealward.custody.consent import Consent, compile_policies
from sealward.custody.credentials import (
    RevokedError,
    UnknownAliasError,
    epoch_of,
    midnight,
)
from sealward.custody.salts import AHEAD, LENGTH, Vault
from sealward.custody.slips import Slips
from sealward.errors import RefusalError
from sealward.records import audit, beds, people, registry, vault
from sealward.records.database import Connection
from sealward.records.session import Session
from sealward.seal import cbor, grantorder, policy, signing
from sealward.wire.telemetry import PARTITIONS

Args = Mapping[str, Any]
FRESH = timedelta(seconds=120)  # for which a request's own time may differ from ours
MOST_DAYS = 366  # day salts in one answer
EVENING = timedelta(hours=18)  # from then on tomorrow's day salts are handed out
ORG = "site"  # the owner of devices, until ownership can be transferred


class RequestedError(RefusalError):
    """The request is malformed, unsigned by whom it names, or not of this moment."""

    reason = "request"


class UnboundError(RefusalError):
    """The device, the bed or the patient is not known, or not bound so."""

    reason = "unbound"


class UnentitledError(RefusalError):
    """The person's attributes do not satisfy the patient's policy."""

    reason = "unentitled"


class SpanError(RefusalError):
    """These days' salts are not to be had: too many, or not begun."""

    reason = "span"


class Desk:
    """What custody answers on its socket; each verb is a method."""

    def __init__(
        self,
        folder: Path,
        session: Session,
        slips: Slips,
        now: Callable[[], datetime],
    ) -> None:
        self._session = session
        self._slips = slips
        self._now = now
        self._vault = Vault(folder)
        self._devices = certificates.load(folder, "device-ca")
        self._service_ca = (folder / "service-ca.pem").read_bytes()
        self._broker_pin = (folder / "broker.pin").read_bytes()
        self._mpk = (folder / "mpk").read_bytes()
        self._registrars = {
            sha256(spki).digest(): signing.from_spki(spki)
            for spki in (
                path.read_bytes() for path in (folder / "registrars").glob("*.spki")
            )
        }
        self._verbs: Mapping[str, Callable[[Args], Args]] = {
            "patient.add": self._add_patient,
            "gateway.attach": self._attach,
            "credential.issue": self._issue,
            "credential.revoke": self._revoke,
            "slip.fetch": self._slip,
            "receipt.certify": self._certify,
            "person.add": self._add_person,
            "person.attributes": self._attributes,
            "salt.read": self._salts,
        }

    def answer(self, verb: str, args: Args) -> Args:
        """Answer *verb* with *args*.

        Raises:
            RefusalError: a leaf of it; whoever asked gets its word.
        """
        act = self._verbs.get(verb)
        if act is None:
            raise RequestedError(f"custody answers {', '.join(self._verbs)}")
        try:
            return act(args)
        except (KeyError, TypeError, ValueError) as error:
            raise RequestedError(
                "the request lacks something, or is malformed"
            ) from error

    # --- patients and devices -------------------------------------------------

    def _add_patient(self, args: Args) -> Args:
        """Make a patient: a UID, a display pseudonym and an erase salt."""
        purposes, studies = asked.texts(args, "purposes"), asked.texts(args, "studies")
        ward = asked.text(args, "ward")
        consent = Consent(ward=ward, care="x", purposes=purposes, studies=studies)
        compile_policies(consent)  # refused here, not in each slip to come
        patient = uuid4()
        uid = names.patient_uid(os.urandom(16))
        pseudonym = names.pseudonym(os.urandom(16))
        generation, wrapped = self._vault.wrap(os.urandom(LENGTH), patient)
        text = json.dumps({"purposes": purposes, "studies": studies})

        def act(conn: Connection) -> None:
            registry.add_patient(
                conn, patient, uid, text, pseudonym=pseudonym, placement=ward
            )
            vault.add_salt(conn, patient, generation, wrapped)
            audit.append(conn, "custody", "patient.add", str(patient), {})

        self._session.run(act)
        return {"patient": str(patient), "uid": uid, "pseudonym": pseudonym}

    def _attach(self, args: Args) -> Args:
        """Bind a bed of a gateway to a patient; the gateway is enrolled if new."""
        spki, uid = asked.blob(args, "idevid"), asked.text(args, "uid")
        slot = asked.number(args, "slot", asked.SHORT)
        self._signed(spki, args, "sealward/1 attach", spki, slot, uid)
        digest = sha256(spki).digest()
        now = self._now()

        def act(conn: Connection) -> registry.Patient:
            patient = registry.patient_by_uid(conn, names.read_uid(uid))
            if patient is None or patient.state == "erased":
                raise UnboundError("there is no such patient")
            device = registry.device_by_spki(conn, digest)
            number = (
                registry.add_device(conn, digest, spki, ORG)
                if device is None
                else device.device_no
            )
            registry.bind(conn, number, slot, patient.patient_id, now)
            audit.append(
                conn, "custody", "gateway.attach", str(patient.patient_id),
                {"device": int(number), "slot": slot},
            )  # fmt: skip
            return patient

        return {"pseudonym": self._session.run(act).pseudonym}

    def _bound(
        self, conn: Connection, spki: bytes, slot: int, now: datetime
    ) -> tuple[registry.BindingId, registry.Patient]:
        """Return the binding and patient of the bed *slot* of the gateway *spki*."""
        device = registry.device_by_spki(conn, sha256(spki).digest())
        if device is None:
            raise UnboundError("the gateway is not enrolled")
        if device.state not in ("enrolled", "active"):
            raise RevokedError("the gateway has been put out of use")
        binding = beds.binding_at(conn, device.device_no, slot, now)
        if binding is None:
            raise UnboundError("the bed is bound to nobody")
        patient = registry.patient(conn, binding.patient_id)
        if patient is None:
            raise UnboundError("the bed is bound to nobody")
        return binding.binding_id, patient

    # --- credentials -----------------------------------------------------------

    def _issue(self, args: Args) -> Args:
        """Certify a fresh key under a fresh alias, and give all that goes with it."""
        spki, request = asked.blob(args, "idevid"), asked.blob(args, "request")
        slot = asked.number(args, "slot", asked.SHORT)
        digest, at = sha256(request).digest(), asked.number(args, "at")
        self._fresh(at)
        self._signed(spki, args, "sealward/1 credential", digest, slot, at)
        now = self._now()
        epoch = epoch_of(now)
        alias = names.alias(os.urandom(26))
        certificate = certificates.credential(
            self._devices, request, alias, midnight(epoch)
        )
        cred = int.from_bytes(os.urandom(8)) >> 1 or 1

        def act(conn: Connection) -> tuple[registry.Patient, dict[int, bytes]]:
            binding, patient = self._bound(conn, spki, slot, now)
            registry.add_credential(
                conn, cred, binding, alias, epoch,
                signing.point65(certificates.p256(certificate)),
                serial_of(certificate),
                certificate.not_valid_before_utc, certificate.not_valid_after_utc,
            )  # fmt: skip
            audit.append(conn, "custody", "credential.issue", alias, {"epoch": epoch})
            salts = self._day_salts(
                conn, patient.patient_id, (epoch, epoch + AHEAD), "gateway", "slip"
            )
            return patient, salts

        patient, salts = self._session.run(act)
        return {
            "alias": alias,
            "epoch": epoch,
            "certificate": certificates.pem(certificate),
            "slip": self._slips.slip(patient, alias, now),
            "salts": salts,
            "mpk": self._mpk,
            "custody": self._slips.spki,
            "broker": self._broker_pin,
            "broker_ca": self._service_ca,
        }

    def _slip(self, args: Args) -> Args:
        """Give a gateway the slip and day salts of an alias of its own anew."""
        spki, alias = asked.blob(args, "idevid"), asked.text(args, "alias")
        at = asked.number(args, "at")
        self._fresh(at)
        self._signed(spki, args, "sealward/1 slip", alias, at)
        now = self._now()
        epoch = epoch_of(now)

        def act(conn: Connection) -> tuple[registry.Patient, dict[int, bytes]]:
            row = registry.credential_by_alias(conn, alias)
            if row is None or row.device_spki != spki:
                raise UnknownAliasError("this gateway has no such alias")
            if row.revoked_at is not None or row.bound_to is not None:
                raise RevokedError("the credential or its binding has ended")
            patient = registry.patient(conn, row.patient_id)
            if patient is None:
                raise UnboundError("the bed is bound to nobody")
            salts = self._day_salts(
                conn, row.patient_id, (epoch, epoch + AHEAD), "gateway", "slip"
            )
            return patient, salts

        patient, salts = self._session.run(act)
        return {"slip": self._slips.slip(patient, alias, now), "salts": salts}

    def _revoke(self, args: Args) -> Args:
        """End a credential; the broker's connection is closed by whoever listens."""
        alias, actor = asked.text(args, "alias"), asked.text(args, "actor")
        if not self._session.run(lambda conn: registry.revoke(conn, alias, actor)):
            raise UnknownAliasError("no such credential, or ended before")
        return {}

    def _certify(self, args: Args) -> Args:
        """Certify intake's receipt keys, one a partition, for today and tomorrow."""
        keys = asked.blobs(args, "keys", PARTITIONS - 1)
        for spki in keys.values():
            signing.from_spki(spki)
        self._slips.receipt_key(keys)
        self._session.run(
            lambda conn: audit.append(
                conn, "custody", "receipt.certify", "intake", {"keys": len(keys)}
            )
        )
        return {}

    # --- people ------------------------------------------------------------------

    def _add_person(self, args: Args) -> Args:
        """Make a person, without any attribute."""
        person, subject = uuid4(), asked.text(args, "subject")

        def act(conn: Connection) -> None:
            people.add_person(conn, person, subject, subject)
            audit.append(conn, "custody", "person.add", str(person), {})

        self._session.run(act)
        return {"person": str(person)}

    def _attributes(self, args: Args) -> Args:
        """Record what a registrar has signed of a person."""
        person = asked.uuid(args, "person")
        number = asked.number(args, "number", asked.INTEGER)
        attributes = asked.texts(args, "attributes")
        spki, registrar = asked.blob(args, "spki"), asked.blob(args, "registrar")
        grants.check(attributes)
        key = self._registrars.get(registrar)
        if key is None:
            raise RequestedError("no registrar of that key is known here")
        signature = asked.blob(args, "signature")
        grantorder.verify(key, str(person), attributes, spki, number, signature)

        def act(conn: Connection) -> None:
            people.add_attribute_change(
                conn, person, number, attributes, spki, registrar, signature
            )
            audit.append(
                conn, "registrar", "person.attributes", str(person), {"number": number}
            )

        self._session.run(act)
        return {}

    def _salts(self, args: Args) -> Args:
        """Hand a person the day salts of a patient whose policy he satisfies."""
        person, patient = asked.uuid(args, "person"), asked.uuid(args, "patient")
        first, last = asked.number(args, "first"), asked.number(args, "last")
        at = asked.number(args, "at")
        self._fresh(at)
        now = self._now()
        today = epoch_of(now)
        latest = today + (now - midnight(today) >= EVENING)
        if not (0 <= first <= last <= latest and last - first < MOST_DAYS):
            raise SpanError("ask for days that have begun, a year's at most")
        words = ("sealward/1 salts", str(person), str(patient), first, last, at)
        row = self._session.run(lambda conn: people.attributes_of(conn, person))
        if row is None:
            raise UnentitledError("this person has no attributes")
        self._signed(row.spki, args, *words)
        bed = self._session.run(lambda conn: registry.patient(conn, patient))
        live = self._slips.live_policy(bed, now) if bed else ""
        if not live or not policy.satisfied(policy.parse(live), set(row.attributes)):
            self._session.run(
                lambda conn: audit.append(
                    conn,
                    str(person),
                    "salt.refused",
                    str(patient),
                    {"days": last - first + 1},
                )
            )
            raise UnentitledError("the attributes do not satisfy the patient's policy")
        salts = self._session.run(
            lambda conn: self._day_salts(
                conn, patient, (first, last), str(person), "read"
            )
        )
        return {"salts": salts}

    # --- what several verbs need ---------------------------------------------------

    def _day_salts(
        self,
        conn: Connection,
        patient: UUID,
        span: tuple[int, int],
        actor: str,
        why: str,
    ) -> dict[int, bytes]:
        """Return *patient*'s day salts for the *span*, first and last epoch."""
        found = vault.read_salt(conn, patient, *span, actor, why)
        if found is None:
            raise UnboundError("the patient's salt is not there; he may be erased")
        generation, wrapped = found
        epochs = range(span[0], span[1] + 1)
        return self._vault.day_salts(generation, wrapped, patient, epochs)

    def _fresh(self, at: int) -> None:
        """Refuse a request whose own time, *at* in ms, is not about now."""
        if abs(self._now().timestamp() - at / 1000) > FRESH.total_seconds():
            raise RequestedError("the request is not of this moment; set the clock")

    @staticmethod
    def _signed(spki: bytes, args: Args, *words: object) -> None:
        """Refuse a request that *spki*'s key did not sign, word by word."""
        signing.verify(
            signing.from_spki(spki),
            cbor.encode(list(words)),
            asked.blob(args, "signature"),
        )
