"""How a creditor's layout is described."""

import pytest
from pydantic import ValidationError

from domain.import_profiles import FIELDS, TEXT_LIMITS, ImportProfile
from domain.placements import PlacementRow


def test_a_profile_knows_every_field_of_a_placement() -> None:
    assert set(FIELDS) == set(PlacementRow.model_fields)
    assert len(FIELDS) == len(set(FIELDS))
    assert set(TEXT_LIMITS) < set(FIELDS)


def test_columns_are_found_by_mapping_or_by_the_field_name() -> None:
    profile = ImportProfile(columns={"Acct No": "external_ref"})
    assert profile.field_of(" acct no ") == "external_ref"
    assert profile.field_of("Debtor_Name") == "debtor_name"
    assert profile.field_of("external_ref") is None, "its field is filled by another column"
    assert profile.field_of("colour") is None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"columns": {"x": "balance"}}, "unknown fields balance"),
        ({"columns": {"x": "city", "y": "city"}}, "same field"),
        ({"columns": {"x": "city", " X": "state"}}, "mapped twice"),
        ({"phone_region": "XX"}, "phone_region"),
        ({"max_bad_share": "1.5"}, "less than or equal to 1"),
        ({"delimiter": "::"}, "delimiter"),
        ({"control": {"marker": "="}}, "marker"),
        ({"colour": 1}, "Extra inputs"),
    ],
)
def test_a_wrong_profile_is_refused(change: dict[str, object], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        ImportProfile.model_validate(change)


def test_a_profile_survives_its_json_form() -> None:
    profile = ImportProfile.model_validate({"delimiter": "\t", "control": {}, "columns": {"a": "city"}})
    assert ImportProfile.model_validate_json(profile.model_dump_json()) == profile
