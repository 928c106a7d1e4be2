"""No pair of key and number seals two plaintexts, wherever a gateway is killed.

Killed at the first step of sealing and spooling, then at the second, and so on, on one
spool; each packet that was ever made counts, also one that never reached the disk.
"""

import subprocess
import sys
from pathlib import Path

from tests.support.backstage import ALIAS, EPOCH, spooled
from tests.support.site import ROOT

from sealward.seal import envelope
from sealward.seal.envelope import Kind

STEP = 7  # of this many steps one is struck; coprime to a loop's length

GATEWAY = """
import os, signal, sys
from datetime import timedelta
from pathlib import Path
from tests.support.backstage import DAY, MIDNIGHT, Backstage, pulse
from sealward.wire.spool import Spool

path, step, stage = Path(sys.argv[1]), int(sys.argv[2]), Backstage()
rooms = ("bedside/bed.py", "wire/spool.py", "wire/spoolstore.py")
second = timedelta(seconds=1)

class Doom:
    def __init__(self, number):
        self.left = number

    def __call__(self, frame, event, argument):
        code = frame.f_code
        if event == "return" and code.co_name == "seal_packet" and argument:
            os.write(1, argument.hex().encode() + b"\\n")  # whatever becomes of it
        if code.co_filename.endswith(rooms):
            self.left -= 1
            if not self.left:
                os.kill(os.getpid(), signal.SIGKILL)

def live(life, number):
    start = MIDNIGHT + DAY / 2 + life * 10 * second
    sys.setprofile(Doom(number))
    with Spool(path) as spool:
        bed = stage.bed(spool)
        for each in range(3):
            pulse(bed, start + each * second, value=60 + life % 40)
            bed.tick(start + (each + 2) * second)
    os._exit(0)

life = 0
while True:
    child = os.fork()
    if not child:
        live(life, 1 + life * step)
    _, status = os.waitpid(child, 0)
    life += 1
    if not os.WIFSIGNALED(status):
        assert status == 0, "it failed before it was killed"
        break
print(f"lives {life}")
"""


def test_no_number_is_sealed_under_twice_by_one_key(tmp_path: Path) -> None:
    """Each start has a secret of its own; numbers go on without a hole."""
    path = tmp_path / "spool.db"
    done = subprocess.run(
        [sys.executable, "-c", GATEWAY, path, str(STEP)],
        env={"PYTHONPATH": f"{ROOT}:{ROOT / 'src'}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    *made, last = done.stdout.splitlines()
    lives = int(last.removeprefix("lives "))
    assert lives > 20

    bodies = [bytes.fromhex(each) for each in made]
    packets = [envelope.read(body) for body in bodies]
    sealed = [each for each in packets if each.kind != Kind.KEY]
    pairs = {(each.kid, each.seq) for each in sealed}
    assert len(pairs) == len(sealed)
    records = [each for each in packets if each.kind == Kind.KEY]
    assert len({each.kid for each in records}) == len(records)

    rows = spooled(path)
    assert [row.seq for row in rows] == list(range(len(rows)))
    assert {(row.alias, row.epoch) for row in rows} == {(ALIAS, EPOCH)}
    kept = {row.body for row in rows}
    assert kept < set(bodies), "some were made and never stored, none stored unmade"
    seen: dict[bytes, Kind] = {}
    for row in rows:
        packet = envelope.read(row.body)
        assert seen.setdefault(packet.kid, row.kind) == Kind.KEY, "a record comes first"
