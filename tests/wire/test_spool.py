"""What was put into the spool arrives, or is declared missing; nothing comes twice."""

import hashlib
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from sealward.errors import ConfigError, UnavailableError
from sealward.wire.spool import (
    DigestError,
    FullError,
    RolledBackError,
    Spool,
    gone_leaf,
)
from sealward.wire.topics import Alias

A, B = Alias("a" * 26), Alias("b" * 26)
DAY = 20_714
HOUR = 3_600_000
VITALS, WAVE, ROLLUP, SEAL, EVENT, ALARM, KEY = range(7)


def body(seq: int, size: int = 40) -> bytes:
    """Return a packet that differs from every other."""
    return seq.to_bytes(4, "big") * (size // 4)


def digest(seq: int) -> bytes:
    """Return what a server shows for packet *seq*."""
    return hashlib.sha256(body(seq)).digest()


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    """Return a spool with one credential."""
    spool = Spool(tmp_path / "spool")
    spool.open_credential(A, DAY)
    return spool


def fill(spool: Spool, *kinds: int, at_ms: int = 0) -> None:
    """Put a packet of each of *kinds*."""
    for kind in kinds:
        spool.put(A, DAY, kind, body, at_ms=at_ms)


def seqs(spool: Spool, now_ms: int = 0, **limits: int) -> list[int]:
    """Return the numbers that are due."""
    return [row.seq for row in spool.window(A, now_ms, **limits)]


def test_a_number_is_used_only_with_its_packet(spool: Spool) -> None:
    """A sealing that fails leaves no hole, on which receipts would stall."""

    def fails(_: int) -> bytes:
        raise ZeroDivisionError

    fill(spool, VITALS)
    with pytest.raises(ZeroDivisionError):
        spool.put(A, DAY, VITALS, fails, at_ms=0)
    assert spool.put(A, DAY, VITALS, body, at_ms=0) == 1
    assert spool.next_seq(A, DAY) == 2


def test_each_day_of_each_alias_counts_for_itself(spool: Spool) -> None:
    """One file holds several aliases, and an alias two days if midnight was missed."""
    spool.open_credential(A, DAY + 1)
    spool.open_credential(B, DAY)
    fill(spool, VITALS, VITALS)
    assert spool.put(A, DAY + 1, VITALS, body, at_ms=0) == 0
    assert spool.put(B, DAY, VITALS, body, at_ms=0) == 0
    assert [(row.epoch, row.seq) for row in spool.window(A, 0)] == [
        (DAY, 0),
        (DAY, 1),
        (DAY + 1, 0),
    ]
    with pytest.raises(KeyError):
        spool.put(B, DAY + 1, VITALS, body, at_ms=0)


def test_keys_go_first_then_the_newest_alarm_then_the_oldest(spool: Spool) -> None:
    """Nothing can be read without its key, and an old alarm is no alarm."""
    fill(spool, VITALS, ALARM, VITALS, KEY, ALARM, KEY)
    assert seqs(spool) == [3, 5, 4, 1, 0, 2]


def test_a_window_is_limited_in_packets_and_bytes(spool: Spool) -> None:
    """A backlog does not flood a connection that others share."""
    fill(spool, *[VITALS] * 30)
    assert seqs(spool) == [*range(20)]
    assert seqs(spool, size=100) == [0, 1]
    spool.sent(spool.window(A, 0), 0)
    assert seqs(spool) == []
    spool.receipt(A, DAY, 5, [], digest(4), 1)
    assert seqs(spool) == [20, 21, 22, 23, 24]


def test_the_unreceipted_go_again_ever_later(spool: Spool) -> None:
    """From 10 s the wait doubles to 120 s, so that a silent server is not flooded."""
    fill(spool, VITALS)
    now, waits = 0, []
    for _ in range(6):
        spool.sent(spool.window(A, now), now)
        before = now
        while not seqs(spool, now):
            now += 1000
        waits.append((now - before) // 1000)
    assert waits == [10, 20, 40, 80, 120, 120]


def test_a_receipt_marks_and_deletes_nothing(spool: Spool) -> None:
    """A stolen receipt key costs a resend, not the data."""
    fill(spool, *[VITALS] * 6)
    assert spool.receipt(A, DAY, 2, [(4, 4)], digest(1), 1000) == 3
    assert seqs(spool) == [2, 3, 5]
    assert spool.receipt(A, DAY, 6, [], digest(5), 2000) == 3
    assert spool.states() == {"spooled": 0, "sent": 0, "marked": 6, "held": 0}
    assert spool.purge(2000 + 47 * HOUR) == 0
    assert spool.purge(1000 + 48 * HOUR) == 3
    assert spool.purge(2000 + 48 * HOUR) == 3
    assert len(spool.leaves(A, DAY)) == 6


def test_a_receipt_for_other_bytes_marks_nothing(spool: Spool) -> None:
    """The server is held to what it signed."""
    fill(spool, VITALS, VITALS)
    with pytest.raises(DigestError):
        spool.receipt(A, DAY, 1, [(1, 1)], digest(1), 0)
    with pytest.raises(DigestError):
        spool.receipt(A, DAY, 0, [(0, 1)], digest(0), 0)
    assert spool.states()["marked"] == 0
    assert spool.receipt(A, DAY, 0, [], b"", 0) == 0


@pytest.mark.parametrize(("upto", "ranges"), [(3, []), (1, [(2, 2)])])
def test_a_server_that_has_more_than_we_made_stops_us(
    spool: Spool, upto: int, ranges: list[tuple[int, int]]
) -> None:
    """The spool is an old copy: its next number was used before."""
    fill(spool, VITALS, VITALS)
    with pytest.raises(RolledBackError):
        spool.receipt(A, DAY, upto, ranges, digest(upto - 1), 0)
    with pytest.raises(RolledBackError):
        spool.receipt(B, DAY, 1, [], digest(0), 0)
    assert spool.states()["marked"] == 0


def test_a_lower_or_repeated_receipt_says_nothing(spool: Spool) -> None:
    """Receipts are sent more than once and may overtake each other."""
    fill(spool, *[VITALS] * 5)
    assert spool.receipt(A, DAY, 4, [], digest(3), 0) == 4
    assert spool.receipt(A, DAY, 2, [(4, 4)], digest(1), 0) == 0
    assert spool.receipt(A, DAY, 4, [], digest(3), 0) == 0
    spool.purge(48 * HOUR)
    assert spool.receipt(A, DAY, 4, [(4, 4)], digest(3), 48 * HOUR) == 1
    with pytest.raises(DigestError):
        spool.receipt(A, DAY, 4, [], digest(2), 48 * HOUR)


@pytest.mark.parametrize("code", [3, 4])
def test_what_time_heals_goes_out_again(spool: Spool, code: int) -> None:
    """A server with a wrong clock does not empty spools into quarantine."""
    fill(spool, *[VITALS] * 25)
    for now in (0, 130_000, 260_000):
        rows = spool.window(A, now)
        spool.sent(rows, now)
        for row in rows:
            spool.refused(A, DAY, row.seq, code, now)
    assert seqs(spool, 260_000) == [20, 21, 22, 23, 24], "others take their place"
    assert spool.states()["held"] == 0
    assert 0 in seqs(spool, 260_000 + 120_000)


@pytest.mark.parametrize("code", [1, 2, 5, 6, 7, 8])
def test_what_is_refused_for_good_is_kept_and_declared(spool: Spool, code: int) -> None:
    """Loss is declared in the seal, never hidden, and nothing is deleted."""
    fill(spool, VITALS, VITALS)
    spool.refused(A, DAY, 0, code, 0)
    assert seqs(spool) == [1]
    assert spool.states()["held"] == 1
    assert spool.missing(A, DAY) == [(0, code)]
    assert spool.leaves(A, DAY)[0] == gone_leaf(0)
    assert spool.receipt(A, DAY, 1, [], gone_leaf(0), 0) == 1


def test_a_refusal_after_the_receipt_says_nothing(spool: Spool) -> None:
    """Of two copies one may be refused; the other has arrived."""
    fill(spool, VITALS)
    spool.receipt(A, DAY, 1, [], digest(0), 0)
    spool.refused(A, DAY, 0, 5, 0)
    spool.refused(A, DAY, 77, 4, 0)
    assert spool.states() == {"spooled": 0, "sent": 0, "marked": 1, "held": 0}


def test_a_restored_server_gets_again_what_it_lost(spool: Spool) -> None:
    """Its receipts begin lower, and are believed from there."""
    fill(spool, *[VITALS] * 50)
    spool.receipt(A, DAY, 50, [], digest(49), 0)
    assert spool.resend(A, DAY, 10, 49) == []
    upto = 10
    while rows := spool.window(A, 0):
        assert [row.seq for row in rows] == [*range(upto, upto + len(rows))]
        upto += len(rows)
        assert spool.receipt(A, DAY, upto, [], digest(upto - 1), 0) == len(rows)
    assert upto == 50


def test_what_is_purged_and_asked_for_is_declared(spool: Spool) -> None:
    """The keeper has lost it: its leaf stays true, and the seal names it."""
    fill(spool, *[VITALS] * 4)
    spool.receipt(A, DAY, 3, [], digest(2), 0)
    spool.purge(48 * HOUR)
    before = spool.leaves(A, DAY)
    assert spool.resend(A, DAY, 1, 3) == [1, 2]
    assert spool.missing(A, DAY) == [(1, 9), (2, 9)]
    assert spool.leaves(A, DAY) == before
    assert spool.receipt(A, DAY, 1, [], digest(0), 0) == 0, "nothing to compare with"
    assert spool.receipt(A, DAY, 4, [], digest(3), 0) == 1


def test_a_full_spool_gives_up_waves_before_vitals(tmp_path: Path) -> None:
    """And says so; what was sent, alarms, keys and seals are never given up."""
    spool = Spool(tmp_path / "spool", cap=400)
    spool.open_credential(A, DAY)
    fill(spool, WAVE, KEY, ALARM, SEAL, WAVE, VITALS, ROLLUP, WAVE, VITALS, VITALS)
    assert spool.full()
    fill(spool, VITALS, EVENT)
    assert spool.missing(A, DAY) == [(0, 0), (4, 0)]
    assert spool.leaves(A, DAY)[4] == gone_leaf(4)
    fill(spool, ROLLUP, ROLLUP, ROLLUP, ROLLUP, ROLLUP)
    assert [seq for seq, _ in spool.missing(A, DAY)] == [0, 4, 5, 7, 8, 9, 10]
    fill(spool, ALARM, ALARM)
    left = [row.kind for row in spool.window(A, 0, packets=99)]
    assert left.count(ALARM) == 3
    assert left.count(KEY) == left.count(SEAL) == left.count(EVENT) == 1


def test_a_full_spool_refuses_what_is_needed_least(tmp_path: Path) -> None:
    """A wave displaces no vitals, and a refused packet uses no number."""
    spool = Spool(tmp_path / "spool", cap=80)
    spool.open_credential(A, DAY)
    fill(spool, VITALS, VITALS)
    with pytest.raises(FullError):
        fill(spool, WAVE)
    assert spool.next_seq(A, DAY) == 2
    spool.sent(spool.window(A, 0), 0)
    with pytest.raises(FullError):
        fill(spool, VITALS)
    assert spool.missing(A, DAY) == [], "what was sent is not given up"
    spool.receipt(A, DAY, 2, [], digest(1), 0)
    fill(spool, WAVE)
    assert spool.states()["marked"] == 1, "what is marked goes first"


def test_above_four_fifths_the_oldest_marked_go(tmp_path: Path) -> None:
    """Room is made before it is needed."""
    spool = Spool(tmp_path / "spool", cap=400)
    spool.open_credential(A, DAY)
    fill(spool, *[VITALS] * 10)
    spool.receipt(A, DAY, 5, [], digest(4), 0)
    assert spool.purge(1) == 2
    assert spool.states() == {"spooled": 5, "sent": 0, "marked": 3, "held": 0}


def test_a_spool_outlives_its_process(tmp_path: Path) -> None:
    """What was sent before a restart is due again."""
    with Spool(tmp_path / "spool") as spool:
        spool.open_credential(A, DAY)
        fill(spool, VITALS, VITALS)
        spool.sent(spool.window(A, 0), 0)
    with Spool(tmp_path / "spool") as spool:
        assert seqs(spool) == [0, 1]
        assert spool.put(A, DAY, VITALS, body, at_ms=0) == 2
        spool.forget(A, DAY)
        assert spool.states() == {"spooled": 0, "sent": 0, "marked": 0, "held": 0}


def test_a_spool_is_closed_to_others(tmp_path: Path) -> None:
    """Packets are sealed, but who sends how much is a habit."""
    with Spool(tmp_path / "spool") as spool:
        spool.open_credential(A, DAY)
        assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}


def test_a_newer_spool_is_left_alone(tmp_path: Path) -> None:
    """An older program does not touch what it does not know."""
    base = sqlite3.connect(tmp_path / "spool")
    base.execute("pragma user_version = 2")
    base.close()
    with pytest.raises(ConfigError, match="newer"):
        Spool(tmp_path / "spool")


def test_a_broken_disk_says_try_again(tmp_path: Path) -> None:
    """A file that is locked or damaged is nobody's refusal."""
    (tmp_path / "spool").mkdir()
    with pytest.raises((UnavailableError, sqlite3.OperationalError)):
        Spool(tmp_path / "spool")


def test_a_window_reads_along_an_index(spool: Spool) -> None:
    """A spool of a million packets answers like one of twenty."""
    plans: list[str] = []
    spool._base.set_trace_callback(plans.append)  # noqa: SLF001 - to see its queries
    fill(spool, VITALS)
    seqs(spool)
    spool._base.set_trace_callback(None)  # noqa: SLF001
    queries = [plan for plan in plans if "kind" in plan and plan.startswith("select")]
    assert len(queries) == 3
    for query in queries:
        plan = spool._base.execute(f"explain query plan {query}").fetchall()  # noqa: SLF001
        text = " ".join(row[-1] for row in plan)
        assert "USING" in text
        assert "TEMP B-TREE" not in text


WRITER = """
import sys
from pathlib import Path
from sealward.wire.spool import Spool
spool = Spool(Path(sys.argv[1]), cap=20_000)
alias, day = "a" * 26, 20714
spool.open_credential(alias, day)
while True:
    seq = spool.put(alias, day, 0, lambda n: n.to_bytes(4, "big") * 10, at_ms=0)
    sys.stdout.write(f"{seq}\\n")
    sys.stdout.flush()
    if seq % 7 == 6:
        import hashlib
        last = hashlib.sha256((seq - 1).to_bytes(4, "big") * 10).digest()
        spool.receipt(alias, day, seq, [], last, seq)
        spool.purge(seq)
"""


def test_killed_at_any_moment_it_has_every_number_once(tmp_path: Path) -> None:
    """Twenty kills: what was promised is there, and no number has two packets."""
    promised = -1
    for turn in range(20):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path / "spool")],
            stdout=subprocess.PIPE,
            env={"PYTHONPATH": os.pathsep.join(sys.path)},
        )
        assert writer.stdout is not None
        first = int(writer.stdout.readline())
        assert first in {promised + 1, promised + 2}, "promised, or committed unsaid"
        time.sleep(random.Random(turn).uniform(0, 0.02))  # noqa: S311 - when to kill
        writer.send_signal(signal.SIGKILL)
        said = writer.stdout.read().split()
        promised = int(said[-1]) if said else first
        writer.wait()
        writer.stdout.close()
    with Spool(tmp_path / "spool") as spool:
        made = spool.next_seq(A, DAY)
        assert made in {promised + 1, promised + 2}
        assert len(spool.leaves(A, DAY)) == made
        waiting = spool.window(A, 0, packets=1_000_000, size=1 << 30)
        marked = spool.states()["marked"]
        unmarked = [row.seq for row in waiting]
        assert unmarked == [*range(made - len(unmarked), made)]
        assert all(row.body == body(row.seq) for row in waiting)
        assert marked <= made


class Gateway(RuleBasedStateMachine):
    """A gateway and a server that loses, repeats and forgets; and a power switch."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()  # Hypothesis has no tmp_path
        self.path = Path(self.folder.name) / "spool"
        self.spool = Spool(self.path)
        self.spool.open_credential(A, DAY)
        self.made = 0
        self.server: set[int] = set()
        self.held: set[int] = set()
        self.now = 0

    @rule(kind=st.sampled_from([VITALS, WAVE, ALARM, KEY]))
    def put(self, kind: int) -> None:
        """Make a packet."""
        assert self.spool.put(A, DAY, kind, body, at_ms=self.now) == self.made
        self.made += 1

    @rule(lost=st.integers(0, 3), wait=st.integers(0, 130_000))
    def send(self, lost: int, wait: int) -> None:
        """Send what is due; some of it arrives."""
        self.now += wait
        rows = self.spool.window(A, self.now, packets=4)
        assert not self.held & {row.seq for row in rows}
        self.spool.sent(rows, self.now)
        self.server |= {row.seq for row in rows[lost:]}

    @precondition(lambda self: self.made)
    @rule()
    def receipt(self) -> None:
        """Let the server say what it has."""
        upto = next(n for n in range(self.made + 1) if n not in self.server | self.held)
        proof = b"" if upto == 0 else digest(upto - 1)
        if upto - 1 in self.held:
            proof = gone_leaf(upto - 1)
        ranges = [(n, n) for n in self.server if n >= upto]
        self.spool.receipt(A, DAY, upto, ranges, proof, self.now)

    @precondition(lambda self: self.made)
    @rule(data=st.data())
    def refuse(self, data: st.DataObject) -> None:
        """Let the server refuse what it does not have."""
        seq = data.draw(st.integers(0, self.made - 1))
        if seq not in self.server:
            self.spool.refused(A, DAY, seq, 5, self.now)
            self.held.add(seq)

    @precondition(lambda self: self.server)
    @rule(data=st.data())
    def restore(self, data: st.DataObject) -> None:
        """Restore the server to an earlier point; it asks again."""
        first = data.draw(st.integers(0, self.made - 1))
        self.server = {n for n in self.server if n < first}
        self.spool.resend(A, DAY, first, self.made - 1)

    @rule()
    def die(self) -> None:
        """Die, and start again."""
        self.spool.close()
        self.spool = Spool(self.path)

    @invariant()
    def nothing_is_lost(self) -> None:
        """Look: what the server lacks still waits here, or is declared."""
        waiting = {r.seq for r in self.spool.window(A, 1 << 60, packets=10_000)}
        assert waiting >= {*range(self.made)} - self.server - self.held
        assert {seq for seq, _ in self.spool.missing(A, DAY)} == self.held
        assert (
            len(self.spool.leaves(A, DAY)) == self.made == self.spool.next_seq(A, DAY)
        )

    def teardown(self) -> None:
        """Clear up."""
        self.spool.close()
        self.folder.cleanup()


TestGateway = Gateway.TestCase
TestGateway.settings = settings(max_examples=30, stateful_step_count=25, deadline=None)
