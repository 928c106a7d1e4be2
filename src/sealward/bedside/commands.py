"""Obey what the server signs, and nothing else: receipts, refusals, resends.

A receipt marks and deletes nothing; a genuine one that does not fit our bytes marks
nothing either. It says that this spool is an old copy, put back or cloned, whose
numbers are not ours to give any more.
"""

import logging
from collections.abc import Callable
from datetime import datetime

from sealward.bedside.credential import Credential
from sealward.errors import RefusalError
from sealward.metrics import Metrics
from sealward.seal import receipt, signing
from sealward.seal.receipt import (
    Code,
    Receipt,
    Refusal,
    Resend,
    ServiceCertificate,
)
from sealward.wire import topics
from sealward.wire.spool import DigestError, RolledBackError, Spool
from sealward.wire.topics import Alias

log = logging.getLogger(__name__)
VERBS = frozenset({"receipt", "resend"})


class Commands:
    """The commands that come for one alias."""

    def __init__(
        self,
        credential: Credential,
        spool: Spool,
        metrics: Metrics,
        stale: Callable[[], None],
    ) -> None:
        """Serve *credential*'s alias; *stale* is called when its slip is too old."""
        self._credential = credential
        self._spool = spool
        self._metrics = metrics
        self._stale = stale
        self._certified: tuple[tuple[bytes, ...], list[ServiceCertificate]] = ((), [])
        self._resent_ms = -1  # of the last resend obeyed, ms since 1970
        self.spoilt: RefusalError | None = None  # why the alias cannot go on

    def take(self, topic: str, payload: bytes, now: datetime) -> None:
        """Obey *payload*, which came on *topic* at *now*, if it is to be obeyed."""
        try:
            self._obey(topic, payload, now)
        except RefusalError as error:
            self._metrics.add("commands_refused", reason=error.reason)
            log.warning("command refused reason=%s", error.reason)
            if isinstance(error, RolledBackError | DigestError):
                self.spoilt = error

    def _obey(self, topic: str, payload: bytes, now: datetime) -> None:
        named = topics.read_command(topic)
        if named is None or named[1] not in VERBS:
            self._metrics.add("commands_refused", reason="verb")
            return
        alias = Alias(self._credential.alias)
        message = receipt.verify(
            payload,
            alias,
            self._certificates(),
            partition=self._credential.slip.partition,
            now=int(now.timestamp()),
        )
        now_ms = int(now.timestamp() * 1000)
        match message:
            case None:
                self._stale()  # a key that today's slip will name
            case Receipt() if message.server_ms > self._resent_ms:
                marked = self._spool.receipt(
                    alias,
                    message.epoch,
                    message.upto,
                    list(message.ranges),
                    message.last,
                    now_ms,
                )
                self._metrics.add("packets_receipted", marked)
            case Refusal():
                self._spool.refused(
                    alias, message.epoch, message.seq, int(message.code), now_ms
                )
                self._metrics.add("packets_returned", code=message.code.name.lower())
                log.warning(
                    "returned epoch=%d seq=%d code=%s",
                    *(message.epoch, message.seq, message.code.name.lower()),
                )
                if message.code == Code.CONFLICT:
                    self.spoilt = DigestError("other bytes are stored as our packet")
            case Resend() if message.server_ms > self._resent_ms:
                self._resent_ms = message.server_ms
                self._spool.resend(alias, message.epoch, message.first, message.last)
            case Receipt() | Resend():  # older than a resend: it would undo it
                self._metrics.add("commands_refused", reason="repeated")

    def _certificates(self) -> list[ServiceCertificate]:
        """Return the receipt keys' certificates of the slip, verified once a slip."""
        signed = self._credential.slip.certificates
        if self._certified[0] != signed:
            custody = signing.from_spki(self._credential.pins.custody)
            self._certified = (
                signed,
                [ServiceCertificate.verify(custody, each) for each in signed],
            )
        return self._certified[1]
