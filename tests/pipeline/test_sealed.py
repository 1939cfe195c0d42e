import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.sealed import sealed, unsealed

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.dictionaries(TEXT.filter(lambda name: name != "seal"), st.recursive(
    st.none() | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner), max_leaves=8), min_size=1)


@given(VALUES)
def test_the_seal_is_the_sha256_of_the_text_without_it(value):
    data = sealed(value)
    text = json.dumps(value, indent=1, ensure_ascii=False) + "\n"
    assert json.loads(data) == {**value, "seal": hashlib.sha256(text.encode()).hexdigest()}
    assert unsealed(data) == value == unsealed(text.encode())


@given(VALUES, st.data())
def test_no_changed_bit_goes_unseen_but_in_the_name_of_the_seal(value, data):
    """There the file looks like one without a seal that has a member too many, which its reader refuses."""
    whole = sealed(value)
    place = data.draw(st.integers(0, 8 * len(whole) - 1))
    changed = bytearray(whole)
    changed[place // 8] ^= 1 << place % 8
    try:
        read = unsealed(bytes(changed))
    except ValueError:
        return
    assert read.keys() - value.keys() and "seal" not in read


@pytest.mark.parametrize("text", [b"", b"3", b"[]", b"{", b'{"a": 1, "seal": "0"}\n', b'{"seal": 5}', b"\xff"])
def test_what_is_not_sealed_json_is_refused(text):
    with pytest.raises(ValueError):
        unsealed(text)
