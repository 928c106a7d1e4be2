"""The whole line: a reading leaves a sensor and reaches whom the policy names."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.site import ROOT, Heard, Ward, lines, until, ward

from sealward.bedside.credential import Keeper

DATA = ("vitals", "wave")


@pytest.fixture(scope="module")
def site() -> Iterator[Ward]:
    """Return a site with one gateway of two beds, and a reader of their ward."""
    with ward() as made:
        yield made


def test_a_reading_reaches_whom_the_policy_names(tmp_path: Path) -> None:
    """`sealward demo` counts as many opened as sent, and none by the refused reader."""
    report = tmp_path / "out.json"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "sealward", "demo", "--seconds", "5"),
            *("--patients", "2", "--report", str(report)),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(report.read_text(encoding="utf-8"))
    packets = found["packets"]
    assert packets["sent"] > 0
    assert packets["sent"] == packets["admitted"] == packets["stored"]
    assert packets["opened"] == packets["sent"]
    assert packets["stored_twice"] == 0
    assert found["refused_reader"]["given"] > 0
    assert found["refused_reader"]["opened"] == 0
    assert "ward:icu" in found["refused_reader"]["because"]
    assert found["refused_reader"]["asking_itself"].startswith("unentitled")


def test_one_gateway_serves_two_beds_under_two_aliases(site: Ward) -> None:
    """Two patients of one gateway have an alias, a key and a salt each."""
    first, second = site.enrol(2)
    keeper = Keeper(first.gateway, site.site.root / "custody/desk.sock")
    other = asyncio.run(keeper.attach(1, site.enrol(1)[0].uid))
    reader = site.reader("nurse", "role:nurse", "ward:icu")
    sealed = site.gateway("gateway-two", first.gateway)
    read = site.watch("reader-nurse", reader)

    def aliases(heard: Heard, event: str) -> set[object]:
        return {name[0] for name in heard.names(event, "vitals")}

    until(lambda: len(aliases(sealed, "sealed")) == 2)
    until(lambda: aliases(sealed, "sealed") <= aliases(read, "opened"))
    patients = {line["patient"] for line in read.lines if line["event"] == "opened"}
    assert {first.pseudonym, other} <= patients
    assert second.pseudonym not in patients
    site.site.launcher.stop(["gateway-two", "reader-nurse"])


def test_what_is_stored_can_be_read_later(site: Ward) -> None:
    """`sealward read` opens the history from the database, as text and as JSON."""
    patient, other = site.enrol(2)
    reader = site.reader("later", "role:clinician", "ward:icu")
    sealed = site.gateway("gateway-later", patient.gateway)
    beside = site.gateway("gateway-beside", other.gateway)
    until(lambda: len(sealed.names("sealed", "vitals")) >= 2)
    until(lambda: len(beside.names("sealed", "vitals")) >= 2)
    site.site.launcher.stop(["gateway-later", "gateway-beside"])
    chosen = ("--reader", str(reader), "--patient", patient.pseudonym)
    done = site.sealward("read", *chosen, "--json", "--vital", "8867-4")
    assert done.returncode == 0, done.stderr
    found = lines(done.stdout)
    assert {line["vital"] for line in found} == {"hr"}
    assert {line["patient"] for line in found} == {patient.pseudonym}
    text = site.sealward("read", *chosen)
    assert "spo2" in text.stdout
    asked = site.rows(
        "select count(distinct subject) from audit.entry"
        " where act = 'salt.read' and actor = (select person_id::text"
        " from registry.person where subject = 'later')"
    )
    assert asked == [(1,)], "no other patient's salt was asked for"
    stranger = site.reader("stranger", "role:clinician", "ward:surgery")
    refused = site.sealward("read", "--reader", str(stranger), *chosen[2:], "--json")
    told = lines(refused.stdout)
    assert {line.get("event") for line in told} == {"salt-refused", "closed"}
    assert {line["reason"] for line in told if line["event"] == "salt-refused"} == {
        "unentitled"
    }


def test_the_command_line_enrols_a_patient_and_says_what_it_refuses(
    site: Ward,
) -> None:
    """An operator's words and the refusal's word stand on one line."""
    made = site.sealward("enrol", "patient", "--ward", "icu", "--json")
    assert set(json.loads(made.stdout)) == {"uid", "pseudonym"}
    registrar = str(site.site.root / "registrar/registrar.key")
    folder = str(site.site.root / "reader-broken-glass")
    refused = site.sealward(
        *("enrol", "reader", "--folder", folder, "--name", "x"),
        *("--attribute", "bg:anyone", "--registrar", registrar),
    )
    assert refused.returncode == 1
    assert refused.stderr.splitlines()[-1].startswith("sealward: ungrantable:")
