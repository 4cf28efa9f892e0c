import numpy as np
import pytest

from streamdrift.signals.roles import Role, learn_role
from tests.batches import column

_RNG = np.random.default_rng(3)
_ID = Role.IDENTIFIER
# Accounts, most of them young: milliseconds, then 20 bits of machine and sequence.
_SNOWFLAKES = [
    (int(1e12 - 1e10 * age) << 20) + int(low)
    for age, low in zip(_RNG.exponential(3, 500), _RNG.integers(0, 2**20, 500), strict=True)
]


@pytest.mark.parametrize(
    ("cells", "role"),
    [
        (_RNG.normal(size=300).tolist(), Role.NUMERIC),
        (_RNG.integers(0, 50, size=300).tolist(), Role.NUMERIC),
        ([float(i // 150) for i in range(300)], Role.NUMERIC),
        ([*_RNG.normal(size=200).tolist(), *["12.5"] * 100], Role.NUMERIC),
        ([1, 2, 3], Role.NUMERIC),
        ([float("inf"), *range(300)], Role.NUMERIC),
        ([float("nan"), *range(300)], Role.NUMERIC),
        ([1.7e308, -1.7e308, *range(300)], Role.NUMERIC),
        ([True, False] * 50, Role.BOOLEAN),
        (["DE", "FR", None, ...] * 50, Role.CATEGORY),
        (["only a few"], Role.CATEGORY),
        ([f"user-{i}" for i in range(300)], _ID),
        (_RNG.permutation(300).astype(float).tolist(), Role.NUMERIC),
        (_RNG.integers(0, 2**50, size=300).tolist(), _ID),
        (_RNG.integers(-(2**63), 2**63 - 1, size=5_000).tolist(), _ID),
        (_RNG.integers(10**5, 10**6, size=100).tolist(), _ID),
        (_RNG.integers(10**9, 10**10, size=1_000).tolist(), _ID),
        (_RNG.permutation(10**6)[:400].tolist(), _ID),
        (_SNOWFLAKES, _ID),
        ([4_929_000_000_000_000 + int(1e7 * x) for x in _RNG.lognormal(10, 1, 300)], _ID),
        (_RNG.lognormal(20, 1, 300).round().tolist(), Role.NUMERIC),
        (_RNG.lognormal(20, 0.1, 2_000).round().tolist(), Role.NUMERIC),
        (_RNG.lognormal(25, 3, 10_000).round().tolist(), Role.NUMERIC),
        (_RNG.normal(5e8, 5e7, 1_000).round().tolist(), Role.NUMERIC),
        (_RNG.exponential(1e9, 300).round().tolist(), Role.NUMERIC),
        (list(range(1000, 1300)), Role.COUNTER),
        ([1.7e9 + i * 0.37 for i in range(300)], Role.COUNTER),
        ([f"2026-01-{1 + i % 28:02d}" for i in range(300)], Role.DATE),
        (["2026-01-01T10:00:00.5Z", "2026-01-01 10:00:00+02:00"] * 60, Role.DATE),
        ([f"{1 + i % 28:02d}.03.2026 00:{i % 60:02d}" for i in range(300)], Role.DATE),
        (["3/14/2026 9:05 PM", "2026/3/14", "14-03-2026"] * 60, Role.DATE),
        (["1.2.2026.4", "10-12", "1/2", "1.22.33"] * 60, Role.CATEGORY),
        ((2**62 + _RNG.integers(0, 1_000, 300)).tolist(), _ID),
        ([2**62] * 300, Role.NUMERIC),
        ((1e20 * _RNG.lognormal(0, 1, 300)).tolist(), Role.NUMERIC),
        ([f"complaint {i} of a customer" for i in range(300)], Role.TEXT),
        ([[0.1, 0.2], [0.3, 0.4]] * 60, Role.VECTOR),
        ([None, ..., None], Role.EMPTY),
    ],
)
def test_role_is_learned_from_the_cells(cells: list[object], role: Role) -> None:
    assert learn_role(column(cells)) is role
