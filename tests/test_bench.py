"""What the benchmarks compare is the same readings, and what they say is what they saw.

No figure of speed is judged here: ``make bench`` does that, in its own time.
"""

import json
import zlib
from pathlib import Path

import pytest
from bench import codec, page, rivals
from bench.recordings import simulated
from bench.table import Row

from sealward.packet import sr1
from sealward.packet.profile import BED_1

OF = BED_1.group(0)


def test_every_format_holds_the_readings_that_ours_holds() -> None:
    """A rival that leaves something out would be small for a bad reason."""
    (columns,) = simulated(60, 1)
    count = codec.readings(columns)
    table = sr1.decode(lambda _: OF, sr1.encode(OF, 0, 60, columns))
    assert codec.readings(table.columns) == count > 200
    message = json.loads(rivals.array(columns, OF))
    assert len(message["readings"]) == count
    assert rivals.objects(columns, OF).count(b"patient_id") == count
    assert zlib.decompress(rivals.zipped(columns, OF)) == rivals.array(columns, OF)


def test_a_minute_of_ours_is_the_smallest() -> None:
    """The order of the table's first section, on one simulated minute."""
    (columns,) = simulated(60, 1)
    ours = sr1.encode(OF, 0, 60, columns)
    sizes = [len(write(columns, OF)) for write in rivals.FORMATS.values()]
    assert len(ours) < min(sizes)


def test_json_that_packs_says_once_whose_it_is() -> None:
    """Else the array would be as large as its objects, and we would look better."""
    (columns,) = simulated(60, 1)
    assert rivals.array(columns, OF).count(b"patient_id") == 1
    assert 1.9 * len(rivals.array(columns, OF)) < len(rivals.objects(columns, OF))


def test_a_missed_target_is_said_and_noise_alone_fails_nothing() -> None:
    """Within the room it is missed in the table, beyond it the run fails."""
    near = Row(what="w", value=0.74, unit="x", least=0.75, room=0.05)
    far = Row(what="w", value=0.70, unit="x", least=0.75, room=0.05)
    size = Row(what="w", value=181, unit="B", most=180)
    assert (near.verdict, near.failed) == ("missed", False)
    assert far.failed
    assert size.failed


def test_the_page_holds_the_figures_of_a_run_and_nothing_else_changes(
    tmp_path: Path,
) -> None:
    """A section's table is replaced between its marks; an unknown one is refused."""
    written = tmp_path / "page.md"
    written.write_text("before\n<!-- codec: begin -->\nold\n<!-- codec: end -->\nafter")
    page.write("codec", [Row(what="w", value=2, unit="B", most=3)], written)
    text = written.read_text()
    assert "| w | 2 B | at most 3: reached | `make bench ONLY=codec` |" in text
    assert "old" not in text
    assert text.startswith("before\n")
    assert text.endswith("\nafter")
    with pytest.raises(ValueError, match="marks"):
        page.write("sealing", [], written)
