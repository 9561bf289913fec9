"""How a partner's references are read."""

import pytest

from domain.partner_rules import Variants


@pytest.mark.parametrize(
    ("variants", "reference", "key"),
    [
        (Variants(), " A-1 ", "A-1"),
        (Variants(strip_prefixes=("NG", "NG-")), "NG-NG7", "NG7"),
        (Variants(strip_prefixes=("ng-",), ignore_case=True), "NG-ab", "AB"),
        (Variants(ignore_punctuation=True), "1.2/3 4_é", "1234"),
        (Variants(ignore_leading_zeros=True), "000", ""),
        (Variants(ignore_case=True, ignore_leading_zeros=True), "0ß0", "ß0"),
    ],
)
def test_what_two_references_may_differ_in(variants: Variants, reference: str, key: str) -> None:
    assert variants.key(reference) == key
