"""Admission by itself: what of a certificate and of its row keeps a gateway out."""

from dataclasses import dataclass, replace
from datetime import timedelta
from uuid import UUID

import pytest
from tests.support.desks import TODAY, key, today_at

from sealward.custody import admission, certificates
from sealward.custody.credentials import midnight
from sealward.errors import RefusalError
from sealward.records.registry import AdmissionRow, BindingId, DeviceNo
from sealward.seal import signing
from sealward.wire.admission import Request

ALIAS = "k3v9q0d2m7x5c1p8r4t6w0y2za"
NOON = today_at(12)


@dataclass
class Knock:
    """An honest connection at noon, and the registry's row behind it."""

    request: Request
    row: AdmissionRow

    @classmethod
    def honest(cls) -> "Knock":
        """Return one that is admitted."""
        authority, secret = certificates.found("CA", NOON), key()
        leaf = certificates.service(authority, secret.public_key(), [ALIAS], NOON)
        request = Request(
            server_id="N",
            user_nkey="U",
            client_type="mqtt",
            client_id=ALIAS,
            cid=1,
            tls_version="1.3",
            tls_cipher="TLS_AES_128_GCM_SHA256",
            leaf=leaf,
            host="127.0.0.1",
        )
        midnight_ = midnight(TODAY)
        row = AdmissionRow(
            cred=7,
            alias=ALIAS,
            epoch=TODAY,
            pubkey65=signing.point65(secret.public_key()),
            serial=admission.serial_of(leaf),
            profile="gateway",
            valid_from=midnight_ - timedelta(hours=6),
            valid_to=midnight_ + timedelta(days=2),
            revoked_at=None,
            binding_id=BindingId(1),
            bound_from=midnight_,
            bound_to=None,
            patient_id=UUID(int=1),
            device_no=DeviceNo(1),
            device_state="active",
            device_spki=b"",
        )
        return cls(request, row)

    def word(self, seconds: float = 0, **changed: object) -> str:
        """Return the verdict *seconds* after noon, the row's fields being *changed*."""
        row = replace(self.row, **changed)  # type: ignore[arg-type]
        try:
            now = NOON + timedelta(seconds=seconds)
            grant = admission.judge(self.request, row, now)
            grant.permissions()
        except RefusalError as error:
            return error.reason
        return "ok"


def test_the_registrys_row_of_this_moment_decides() -> None:
    """Key, serial, device, binding and days: each alone keeps a certificate out."""
    honest = Knock.honest()
    other = signing.point65(key().public_key())
    half_day, hour = 43_200, timedelta(hours=1)
    assert honest.word() == "ok"
    assert honest.word(pubkey65=other) == "certificate"
    assert honest.word(serial=bytes(20)) == "certificate"
    for state in ("suspended", "decommissioned"):
        assert honest.word(device_state=state) == "revoked", state
    assert honest.word(revoked_at=NOON + hour) == "revoked"
    assert honest.word(bound_from=NOON + hour) == "revoked"
    assert honest.word(bound_to=NOON) == "revoked"
    assert honest.word(bound_to=NOON + hour) == "ok"
    assert honest.word(half_day + 86_400 - 1) == "ok"
    assert honest.word(half_day + 86_400) == "expired"
    early = NOON - timedelta(days=2)
    assert honest.word(-18 * 3600, bound_from=early) == "ok"
    assert honest.word(-18 * 3600 - 1, bound_from=early) == "expired"
    with pytest.raises(RefusalError) as refused:
        admission.judge(honest.request, None, NOON)
    assert refused.value.reason == "unknown"
