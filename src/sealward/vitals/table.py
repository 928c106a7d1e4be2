"""The table of vitals, the only place where a code, unit, range or colour stands.

LOINC codes are Regenstrief's, whose notice stands in NOTICE; MDC codes are
ISO/IEEE 11073-10101, partition 2 (131072 + term); units are UCUM. The ranges are
our own choice: they say what a sensor can mean, not what is healthy. Consciousness
(ACVPU, LOINC 67775-7) is missing because it is a letter, not a number.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType

from sealward.errors import RefusalError


class UnknownVitalError(RefusalError):
    """The table has no row of that name."""

    reason = "unlisted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Vital:
    """One row: what is measured, how it is coded, and what is plausible."""

    key: str  # our short name, lower case
    name: str  # for people
    loinc: tuple[str, ...]  # all codings that mean this; the first is preferred
    mdc: int | None  # ISO/IEEE 11073 reference number, partition included
    ucum: str  # the unit of every value of this vital inside Sealward
    low: Decimal  # least plausible value, inclusive, in ``ucum``
    high: Decimal  # greatest plausible value, inclusive, in ``ucum``
    resolution: Decimal  # step of the default profile, in ``ucum``
    colour: str  # #rrggbb on a dark ground; never the only sign of a vital


# Each row: key, name, LOINC (both codings of oximetry go together, as FHIR's vital
# signs want; of glucose the mass code comes first; waves have none of their own), MDC,
# UCUM, low, high, resolution. pleth and resp are relative: 0 and 1 are the ends of the
# source's own scale.
_CHART = """\
hr     heart rate                  8867-4           147842 /min    20   250    1
pr     pulse rate                  8889-8           149530 /min    20   250    1
spo2   oxygen saturation           2708-6,59408-5   150456 %       40   100    1
pi     perfusion index             61006-3          150448 %       0.02 20     0.01
rr     respiratory rate            9279-1           151562 /min    2    70     1
tskin  skin temperature            39106-0          150388 Cel     10   45     0.01
tbody  body temperature            8310-5           150364 Cel     25   43.5   0.01
tcore  core temperature            8329-5           150368 Cel     25   43.5   0.01
nibp.s systolic cuff pressure      8480-6           150021 mm[Hg]  30   280    1
nibp.d diastolic cuff pressure     8462-4           150022 mm[Hg]  10   200    1
nibp.m mean cuff pressure          8478-0           150023 mm[Hg]  15   250    1
abp.s  systolic arterial pressure  76215-3          150037 mm[Hg]  30   280    1
abp.d  diastolic arterial pressure 76213-8          150038 mm[Hg]  10   200    1
abp.m  mean arterial pressure      76214-6          150039 mm[Hg]  15   250    1
glu    interstitial glucose        99504-3,105272-9 160212 mg/dL   20   600    1
glucap finger-stick glucose        41653-7          160184 mg/dL   10   1500   1
wt     body weight                 29463-7          188736 kg      0.3  400    0.01
steps  steps                       41950-7,55423-8  -      {steps} 0    100000 1
fio2   inspired oxygen             3150-0           -      %       21   100    1
o2flow oxygen flow                 3151-8           -      L/min   0    80     0.1
ecg1   ECG lead I                  -                131329 mV      -10  10     0.005
ecg2   ECG lead II                 -                131330 mV      -10  10     0.005
pleth  photoplethysmogram          -                150452 1       0    1      0.001
resp   respiration wave            -                -      1       0    1      0.001
abpw   arterial pressure wave      -                -      mm[Hg]  -50  350    0.1
acc    acceleration                -                -      m/s2    -160 160    0.01
"""
_COLOURS: Mapping[str, str] = MappingProxyType(
    {
        "#35e27a": "hr pr ecg1 ecg2",
        "#38d6f0": "spo2 pi fio2 o2flow pleth",
        "#f2f2f2": "rr resp",
        "#c9a6ff": "tskin tbody tcore",
        "#ff6b6b": "nibp.s nibp.d nibp.m abp.s abp.d abp.m abpw",
        "#ffb454": "glu glucap",
        "#e8edf2": "wt steps",
        "#a0a8b0": "acc",
    }
)


def _row(line: str) -> Vital:
    """Return the row of the chart that *line* is."""
    key, *name, loinc, mdc, ucum, low, high, step = line.split()
    return Vital(
        key=key,
        name=" ".join(name),
        loinc=() if loinc == "-" else tuple(loinc.split(",")),
        mdc=None if mdc == "-" else int(mdc),
        ucum=ucum,
        low=Decimal(low),
        high=Decimal(high),
        resolution=Decimal(step),
        colour=next(c for c, keys in _COLOURS.items() if key in keys.split()),
    )


VITALS: Mapping[str, Vital] = MappingProxyType(
    {row.key: row for row in map(_row, _CHART.splitlines())}
)

# Column names seen in exports of monitors and oximeters, in lower case.
_COLUMNS = {
    "heartrate": "hr",
    "heart_rate": "hr",
    "pulse": "pr",
    "resp": "rr",
    "respiration": "rr",
    "respiratory_rate": "rr",
    "temp": "tbody",
    "temperature": "tbody",
    "nbps": "nibp.s",
    "nbpd": "nibp.d",
    "nbpm": "nibp.m",
    "glucose": "glu",
    "weight": "wt",
    "ii": "ecg2",
    "abp": "abpw",
}
_NAMES: Mapping[str, str] = MappingProxyType(
    {key: key for key in VITALS}
    | {code: key for key, vital in VITALS.items() for code in vital.loinc}
    | {vital.name: key for key, vital in VITALS.items()}
    | _COLUMNS
)


def find(name: str) -> Vital:
    """Return the row that *name* means: a key, a LOINC code, a name or a column.

    A key is taken as it stands, and only then case is folded: ``resp`` is the
    respiration wave, whereas the column ``RESP`` of a monitor is a rate.

    Raises:
        UnknownVitalError: the table has no such row.
    """
    if exact := VITALS.get(name):
        return exact
    try:
        return VITALS[_NAMES[name.strip().casefold()]]
    except KeyError:
        raise UnknownVitalError("name a row of the table of vitals") from None
