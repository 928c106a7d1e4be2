"""Find the bed of a device: who is bound there now."""

from datetime import datetime

from sealward.records.database import Connection, row
from sealward.records.registry import Binding, DeviceNo


def binding_at(
    connection: Connection, device_no: DeviceNo, slot: int, at: datetime
) -> Binding | None:
    """Return the binding of the device's bed *slot* at that instant, or None."""
    return row(
        connection,
        Binding,
        "select binding_id, device_no, slot, patient_id, lower(during) as since,"
        " upper(during) as ended from registry.binding"
        " where device_no = %s and slot = %s and during @> %s::timestamptz",
        (device_no, slot, at),
    )
