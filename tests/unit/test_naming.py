from streamdrift.records import ColumnKey, Group, SignalKind
from streamdrift.signals.naming import column_names, signal_names, signal_setting_names

_KINDS = (SignalKind.TYPE_BREAK, SignalKind.VALUE, SignalKind.NORM)


def _key(name: str, group: Group = Group.FEATURE) -> ColumnKey:
    return ColumnKey(group, name)


def test_signals_are_called_after_their_column() -> None:
    null = (_key("null", Group.OUTPUT), (SignalKind.NULL_OUTPUT,))
    failed = (_key("failed", Group.METRIC), (SignalKind.FAILED,))
    assert signal_names([(_key("x"), _KINDS), null, failed]) == [
        "x (type break)",
        "x",
        "x (norm)",
        "null output",
        "failed",
    ]


def test_output_and_metric_of_a_features_name_carry_their_group() -> None:
    names = signal_names([(_key("x", group), _KINDS) for group in Group])
    assert names[:3] == ["x (type break)", "x", "x (norm)"]
    assert names[3:6] == ["x (output) (type break)", "x (output)", "x (output) (norm)"]
    assert "x (metric)" in names[6:]
    # Also where the feature has no signal of the same name.
    shown = signal_names([(_key("x"), (SignalKind.MISSING,)), (_key("x", Group.OUTPUT), _KINDS)])
    assert shown[1:] == names[3:6]


def test_no_two_signals_share_a_name() -> None:
    columns = [
        *(_key(name) for name in ("failed", "x", "x (output)", "x (norm)", "x (type break)")),
        *(_key(name, Group.METRIC) for name in ("failed", "x")),
        *(_key(name, Group.OUTPUT) for name in ("null", "x", "x (norm)")),
    ]
    kinds = {"null": (SignalKind.NULL_OUTPUT,)}
    rate = (SignalKind.FAILED,)
    names = signal_names(
        (key, rate if key == _key("failed", Group.METRIC) else kinds.get(key.name, _KINDS))
        for key in columns
    )
    assert len(names) == len(set(names)) == 8 * 3 + 2
    assert "failed (metric)" in names


def test_settings_name_a_column_with_its_group_or_plainly() -> None:
    key = _key("score", Group.OUTPUT)
    assert signal_setting_names(key, SignalKind.NORM) == (
        "score (output) (norm)",
        "score (norm)",
    )
    assert column_names([_key("score"), key]) == ["score", "score (output)"]
    assert column_names([_key("x"), key]) == ["x", "score"]
