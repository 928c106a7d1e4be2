"""What the door made of one pull: who is stored, who came twice, who is refused."""

from dataclasses import dataclass, field

from sealward.errors import RefusalError
from sealward.intake.door import Admitted
from sealward.records.database import ConflictingError
from sealward.records.ingest import Number
from sealward.seal import envelope
from sealward.wire.telemetry import Delivery

Owed = tuple[str, int]  # alias, epoch: who is to get a receipt


@dataclass(slots=True)
class Sorted:
    """What the door made of one pull."""

    admitted: list[Admitted] = field(default_factory=list)
    theirs: dict[Number, Delivery] = field(default_factory=dict)
    repeated: list[Delivery] = field(default_factory=list)
    refused: list[tuple[Delivery, RefusalError]] = field(default_factory=list)
    owed: set[Owed] = field(default_factory=set)

    def repeat(self, delivery: Delivery) -> None:
        """Owe a receipt for a packet that was stored before."""
        self.repeated.append(delivery)
        self.owed.add((delivery.alias, envelope.read(delivery.body).epoch))

    def twice(self, name: Number, delivery: Delivery) -> None:
        """Sort *delivery*, whose number came in this pull before: the first counts."""
        if self.theirs[name].body == delivery.body:
            self.repeated.append(delivery)
        else:
            error = ConflictingError("other bytes came under this number just before")
            self.refused.append((delivery, error))
