"""A bed numbers without holes, renews its secret by the day, and seals nothing twice.

What it makes lies in a real spool, and is opened as a reader would.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.backstage import (
    DAY,
    EPOCH,
    MIDNIGHT,
    Backstage,
    Spooled,
    pulse,
    spooled,
)

from sealward.analyst.reading import Opened
from sealward.bedside.bed import Bed, SaltlessError, Sealed
from sealward.bedside.credential import LapsedError
from sealward.errors import UnavailableError
from sealward.metrics import Metrics
from sealward.packet.profile import ICU_1
from sealward.seal import envelope, record
from sealward.seal.envelope import Kind
from sealward.wire.spool import Spool
from sealward.wire.topics import Alias

SECOND = timedelta(seconds=1)
NOON = MIDNIGHT + timedelta(hours=12)
EVE = MIDNIGHT + DAY - 3 * SECOND  # three seconds before the second day


class ForgetfulSpool(Spool):
    """A spool that has each packet made, and loses every second one at the commit."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.made: list[bytes] = []

    def put(  # noqa: PLR0913 - as the spool's own
        self,
        alias: Alias,
        epoch: int,
        kind: int,
        seal: Callable[[int], bytes],
        *,
        at_ms: int,
        room: int = 0,
    ) -> int:
        """Lose every second packet, after it was made."""

        def overheard(seq: int) -> bytes:
            self.made.append(seal(seq))
            if len(self.made) % 2 == 0:
                raise UnavailableError("the disk failed")
            return self.made[-1]

        return super().put(alias, epoch, kind, overheard, at_ms=at_ms, room=room)


def lived(bed: Bed, start: datetime, seconds: float, step: float = 0.5) -> datetime:
    """Let *bed* feel a pulse each *step* s for *seconds*; return when it ended."""
    for number in range(int(seconds / step)):
        at = start + timedelta(seconds=number * step)
        pulse(bed, at)
        bed.tick(at)
    end = start + timedelta(seconds=seconds)
    bed.tick(end + SECOND)
    return end


def numbers(rows: list[Spooled], epoch: int) -> list[int]:
    """Return the numbers in *rows* of *epoch*."""
    return [row.seq for row in rows if row.epoch == epoch]


def kids(rows: list[Spooled], epoch: int) -> list[bytes]:
    """Return the content keys that *rows* of *epoch* name, in order of first use."""
    found = [envelope.read(row.body).kid for row in rows if row.epoch == epoch]
    return list(dict.fromkeys(found))


def test_a_new_day_has_a_new_secret_and_numbers_from_nought(tmp_path: Path) -> None:
    """The record goes first, under the day's own salt; the alias stays the same."""
    stage = Backstage()
    with Spool(tmp_path / "spool.db") as spool:
        lived(stage.bed(spool), EVE, 6)
    rows = spooled(tmp_path / "spool.db")
    for epoch in (EPOCH, EPOCH + 1):
        assert numbers(rows, epoch) == list(range(len(numbers(rows, epoch))))
        first = next(row for row in rows if row.epoch == epoch)
        assert first.kind == Kind.KEY
        made = record.read(envelope.read(first.body).body)
        assert (made.name.epoch, made.salt_epoch) == (epoch, epoch)
    assert len(kids(rows, EPOCH)) == len(kids(rows, EPOCH + 1)) == 1
    assert kids(rows, EPOCH) != kids(rows, EPOCH + 1)
    assert {row.alias for row in rows} == {stage.credential().alias}


def test_a_reader_of_both_days_opens_both(tmp_path: Path) -> None:
    """What was sealed across midnight opens, each row at its own time."""
    stage = Backstage()
    with Spool(tmp_path / "spool.db") as spool:
        lived(stage.bed(spool), EVE, 6)
    beds, row = stage.reader(), stage.row()
    times = []
    for each in spooled(tmp_path / "spool.db"):
        opened = beds.open(row, each.body)
        assert isinstance(opened, Opened)
        times += [at for at, _, _ in opened.values]
    start = int(EVE.timestamp() * 1000)
    assert times == [start + each * 1000 for each in range(6)]


@settings(max_examples=20, deadline=None)
@given(
    length=st.sampled_from([1, 7, 11, 60, 600]),
    before=st.integers(1, 40),
    step=st.sampled_from([1.0, 2.5]),
)
def test_no_pack_crosses_midnight(length: int, before: int, step: float) -> None:
    """Whatever the length of a pack, its readings are of the day that it names."""
    stage = Backstage(pack_seconds=length)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "spool.db"
        start = MIDNIGHT + DAY - before * SECOND
        with Spool(path) as spool:
            bed = stage.bed(spool)
            end = lived(bed, start, before + 20, step)
            bed.close(end)
        rows = spooled(path)
    beds, row, seen = stage.reader(), stage.row(), 0
    for each in rows:
        opened = beds.open(row, each.body)
        assert isinstance(opened, Opened)
        assert {at // 86_400_000 for at, _, _ in opened.values} <= {each.epoch}
        seen += len(opened.values)
    assert seen == int((before + 20) / step)


def test_after_the_day_of_grace_nothing_is_sealed(tmp_path: Path) -> None:
    """Until rotation exists an alias serves its day and the next, then says so."""
    stage = Backstage()
    with Spool(tmp_path / "spool.db") as spool:
        bed = stage.bed(spool)
        last = MIDNIGHT + 2 * DAY - SECOND
        pulse(bed, last)
        pulse(bed, last + SECOND)
        with pytest.raises(LapsedError):
            bed.tick(last + 3 * SECOND)
    rows = spooled(tmp_path / "spool.db")
    assert {row.epoch for row in rows} == {EPOCH + 1}


def test_what_was_due_before_the_lapse_is_sealed_first(tmp_path: Path) -> None:
    """A late tick finds packs of two days; of each group the older day's are sealed."""
    stage = Backstage()
    with Spool(tmp_path / "spool.db") as spool:
        bed = stage.bed(spool, profile=ICU_1)
        last = MIDNIGHT + 2 * DAY - SECOND
        pulse(bed, last, "ecg2", 0)
        pulse(bed, last + SECOND, "hr")
        with pytest.raises(LapsedError):
            bed.tick(last + 5 * SECOND)
    kinds = [row.kind for row in spooled(tmp_path / "spool.db")]
    assert kinds == [Kind.KEY, Kind.WAVE]


def test_midnight_costs_one_record_and_no_more(tmp_path: Path) -> None:
    """Groups that close together do not take turns between two days' secrets."""
    stage = Backstage()
    with Spool(tmp_path / "spool.db") as spool:
        bed = stage.bed(spool, profile=ICU_1)
        for at in (EVE + 2 * SECOND, EVE + 3 * SECOND):
            pulse(bed, at, "ecg2", 0)
            pulse(bed, at, "hr")
        bed.tick(EVE + 9 * SECOND)
    kinds = [(row.epoch, row.kind) for row in spooled(tmp_path / "spool.db")]
    assert kinds == [
        (epoch, kind)
        for epoch in (EPOCH, EPOCH + 1)
        for kind in (Kind.KEY, Kind.VITALS, Kind.WAVE)
    ]


def test_a_restart_goes_on_counting_under_a_new_secret(tmp_path: Path) -> None:
    """No pair of secret and number returns, for the secret is new."""
    stage = Backstage()
    for start in (NOON, NOON + 10 * SECOND):
        with Spool(tmp_path / "spool.db") as spool:
            lived(stage.bed(spool), start, 3)
    rows = spooled(tmp_path / "spool.db")
    assert numbers(rows, EPOCH) == list(range(8))
    assert [row.seq for row in rows if row.kind == Kind.KEY] == [0, 4]
    assert len(kids(rows, EPOCH)) == 2


def test_a_spool_put_back_from_a_backup_repeats_numbers_and_no_secret(
    tmp_path: Path,
) -> None:
    """An old copy gives numbers out again, but never under a key that sealed them."""
    stage = Backstage()
    bodies: set[bytes] = set()
    pairs: list[tuple[bytes, int]] = []
    for name in ("one", "other"):  # two lives of one state: of no packet at all
        path = tmp_path / name
        with Spool(path) as spool:
            lived(stage.bed(spool), NOON, 5)
        rows = spooled(path)
        bodies |= {row.body for row in rows}
        pairs += [(envelope.read(row.body).kid, row.seq) for row in rows]
    assert len(bodies) == len(pairs) == len(set(pairs))


def test_a_number_that_was_lost_costs_its_secret(tmp_path: Path) -> None:
    """A packet was made and not stored: its number is free again, its key is not.

    Else two plaintexts would be sealed under one key and nonce.
    """
    stage = Backstage()
    with ForgetfulSpool(tmp_path / "spool.db") as spool:
        bed = stage.bed(spool)
        for each in range(8):
            pulse(bed, NOON + each * SECOND)
            try:
                bed.tick(NOON + (each + 2) * SECOND)
            except UnavailableError:
                continue
        made = [envelope.read(body) for body in spool.made]
    sealed = [(each.kid, each.seq) for each in made if each.kind != Kind.KEY]
    assert len(sealed) > 2
    assert len(sealed) == len(set(sealed))


def test_a_full_spool_costs_readings_by_name_and_not_the_gateway(
    tmp_path: Path,
) -> None:
    """What finds no room is counted, and an event says so; no secret is worn out."""
    stage, metrics = Backstage(), Metrics()
    with Spool(tmp_path / "spool.db", cap=4096) as spool:
        bed = stage.bed(spool, metrics=metrics)
        for each in range(120):
            pulse(bed, NOON + each * SECOND)
            bed.tick(NOON + (each + 2) * SECOND)
            spool.window(Alias(stage.credential().alias), 0, packets=1000)
    rows = spooled(tmp_path / "spool.db")
    assert metrics.get("readings_refused", reason="full") > 0
    kinds = [row.kind for row in rows]
    assert kinds.count(Kind.KEY) == 1
    assert Kind.EVENT in kinds
    assert [row.seq for row in rows] == list(range(len(rows)))
    vitals = sum(kind == Kind.VITALS for kind in kinds)
    assert vitals + metrics.get("readings_refused", reason="full") == 120


def test_yesterdays_salt_serves_a_gateway_that_is_offline(tmp_path: Path) -> None:
    """Without today's salt the last one is used, and the record says which."""
    stage = Backstage()
    with Spool(tmp_path / "spool.db") as spool:
        bed = stage.bed(spool, stage.credential(days=[0]))
        lived(bed, MIDNIGHT + DAY + SECOND, 2)
    (first, *_) = spooled(tmp_path / "spool.db")
    assert record.read(envelope.read(first.body).body).salt_epoch == EPOCH


def test_without_any_salt_nothing_is_sealed(tmp_path: Path) -> None:
    """A secret without the patient's salt could not be erased by custody."""
    stage = Backstage()
    with Spool(tmp_path / "spool.db") as spool:
        bed = stage.bed(spool, stage.credential(days=[]))
        pulse(bed, NOON)
        with pytest.raises(SaltlessError):
            bed.tick(NOON + 3 * SECOND)
    assert spooled(tmp_path / "spool.db") == []


def test_readings_that_do_not_enter_are_named(tmp_path: Path) -> None:
    """An event counts them by reason, a minute apart at least."""
    stage, metrics = Backstage(), Metrics()
    with Spool(tmp_path / "spool.db") as spool:
        bed = stage.bed(spool, metrics=metrics)
        pulse(bed, NOON, "glu", 100)
        pulse(bed, NOON, "wt", 80)
        bed.tick(NOON + SECOND)
        pulse(bed, NOON + 2 * SECOND, "wt", 80)
        bed.tick(NOON + 3 * SECOND)
    rows = spooled(tmp_path / "spool.db")
    (event,) = [row for row in rows if row.kind == Kind.EVENT]
    opened = [stage.reader().open(stage.row(), row.body) for row in rows]
    assert metrics.by("readings_refused", "reason") == {"offprofile": 2}
    assert event.epoch == EPOCH
    assert opened


def test_each_packet_is_told_once_it_is_on_the_disk(tmp_path: Path) -> None:
    """Who is told of a packet finds it in the spool, and hears no reading."""
    stage, told = Backstage(), list[Sealed]()
    with Spool(tmp_path / "spool.db") as spool:
        lived(stage.bed(spool, told=told), NOON, 3)
    rows = {(row.epoch, row.seq): row for row in spooled(tmp_path / "spool.db")}
    assert len(told) == 3
    for each in told:
        row = rows[each.epoch, each.seq]
        assert (each.kind, each.size) == (row.kind, len(row.body))
