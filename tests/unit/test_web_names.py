import re
from urllib.parse import quote, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamdrift.records import ColumnKey, Group, SignalKind
from streamdrift.web.names import SignalKey, id_of, name_of, signal_id, signal_key

NAMES = st.text(st.characters(exclude_categories=["Cs"]))


@given(NAMES)
def test_an_id_stands_for_its_name_and_needs_no_escapes(name: str) -> None:
    found = id_of(name)
    assert name_of(found) == name
    assert quote(found, safe="~") == found
    assert re.fullmatch(r"[A-Za-z0-9._~-]+", found)
    assert found not in (".", "..")


@given(NAMES, NAMES, NAMES, st.sampled_from(Group), st.sampled_from(SignalKind))
def test_the_id_of_a_signal_stands_for_it(
    model: str, version: str, column: str, group: Group, kind: SignalKind
) -> None:
    for key in (
        SignalKey(model, version, ColumnKey(group, column), kind),
        SignalKey(model, "", None, kind),
    ):
        found = signal_id(key)
        assert signal_key(found) == key
        assert unquote(quote(found, safe="~:")) == found


@given(st.text())
def test_any_text_is_an_id_of_a_signal_or_none(text: str) -> None:
    key = signal_key(text)
    assert key is None or signal_key(signal_id(key)) == key


@pytest.mark.parametrize(
    "text", ["", "a", "a:b", "fraud:3:feature:amount:nothing", "a:b:c:d:value", "~!:~:value", "~_w"]
)
def test_what_is_no_id(text: str) -> None:
    assert signal_key(text) is None or name_of(text) == text


def test_a_name_that_looks_like_an_id_keeps_its_own() -> None:
    assert name_of("~!") == "~!"
    assert id_of("~YQ") == "~fllR"
    assert name_of(id_of("~YQ")) == "~YQ"
