import numpy as np
import pytest

from streamdrift.signals.roles import Role, learn_role
from tests.batches import column

_RNG = np.random.default_rng(3)


@pytest.mark.parametrize(
    ("cells", "role"),
    [
        (_RNG.normal(size=300).tolist(), Role.NUMERIC),
        (_RNG.integers(0, 50, size=300).tolist(), Role.NUMERIC),
        ([float(i // 150) for i in range(300)], Role.NUMERIC),
        ([*_RNG.normal(size=200).tolist(), *["12.5"] * 100], Role.NUMERIC),
        ([1, 2, 3], Role.NUMERIC),
        ([float("inf"), *range(300)], Role.NUMERIC),
        ([True, False] * 50, Role.BOOLEAN),
        (["DE", "FR", None, ...] * 50, Role.CATEGORY),
        (["only a few"], Role.CATEGORY),
        ([f"user-{i}" for i in range(300)], Role.IDENTIFIER),
        (_RNG.permutation(300).astype(float).tolist(), Role.NUMERIC),
        (_RNG.integers(0, 2**50, size=300).tolist(), Role.IDENTIFIER),
        (list(range(1000, 1300)), Role.COUNTER),
        ([1.7e9 + i * 0.37 for i in range(300)], Role.COUNTER),
        ([f"2026-01-{1 + i % 28:02d}" for i in range(300)], Role.DATE),
        (["2026-01-01T10:00:00.5Z", "2026-01-01 10:00:00+02:00"] * 60, Role.DATE),
        ([f"complaint {i} of a customer" for i in range(300)], Role.TEXT),
        ([[0.1, 0.2], [0.3, 0.4]] * 60, Role.VECTOR),
        ([None, ..., None], Role.EMPTY),
    ],
)
def test_role_is_learned_from_the_cells(cells: list[object], role: Role) -> None:
    assert learn_role(column(cells)) is role
