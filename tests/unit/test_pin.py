"""A head of the ledger, as it is printed and as it is typed."""

from __future__ import annotations

import pytest

from iu_gates import pin
from iu_gates.errors import UsageError
from iu_gates.pin import Pin
from iu_gates.render import words

HASH = "9f2c41ab" * 8


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (f"41:{HASH}", Pin(41, HASH)),
        (HASH, Pin(None, HASH)),
        (f" 41:{HASH[:16].upper()}\n", Pin(41, HASH[:16])),
        (words.head(41, HASH), Pin(41, HASH[:32])),
    ],
)
def test_head_is_read_as_it_is_printed(text: str, wanted: Pin) -> None:
    """
    Number and hash, or the hash alone, or its beginning; the text form reads back.
    """
    assert pin.parse(text) == wanted
    assert pin.parse(str(wanted)) == wanted


@pytest.mark.parametrize(
    "text",
    ["", "41", "41:", ":" + HASH, f"0:{HASH}", f"-1:{HASH}", f"#41 {HASH}", HASH[:15], HASH + "0",
     f"41:{HASH[:15]}", f"41:{HASH[:31]}g", f"{'9' * 19}:{HASH}", f"41 {HASH}"],
)  # fmt: skip
def test_what_is_no_head_is_a_usage_error(text: str) -> None:
    """
    Too few digits pin nothing; a number beyond the database's is none.
    """
    with pytest.raises(UsageError) as raised:
        pin.parse(text)
    assert raised.value.ident == "IUG-010"
