"""Plans: what the settings take away, and what an account then cannot do."""

from pathlib import Path

import pytest

from homeport.core import plans
from homeport.errors import PlanLacksFeature
from homeport.settings import ALL_PLANS, Feature, Plan, Plans, SettingsError, load
from homeport.storage.db.records import AccountKind, Namespace, PlanName


def holder(plan: PlanName) -> Namespace:
    return Namespace(id=1, name="acme", kind=AccountKind.ORGANIZATION, is_active=True, plan=plan, role=None)


@pytest.mark.parametrize("plan", PlanName)
def test_every_plan_holds_everything_at_first(plan: PlanName) -> None:
    settings = load({})
    assert settings.plans == ALL_PLANS
    found = plans.plan_of(settings.plans, holder(plan))
    assert found.features == set(Feature)
    assert (found.access_tokens, found.members, found.teams, found.private_repositories) == (None, None, None, None)


def test_the_settings_have_a_table_for_each_plan() -> None:
    assert list(Plans.__struct_fields__) == list(PlanName)


@pytest.mark.parametrize("feature", Feature)
def test_a_feature_that_a_plan_lacks_is_refused_by_its_name(feature: Feature) -> None:
    table = Plans(team=Plan(features=frozenset(Feature) - {feature}), pro=Plan(features=frozenset({feature})))
    plans.require_feature(table, holder(PlanName.PRO), feature)
    with pytest.raises(PlanLacksFeature) as caught:
        plans.require_feature(table, holder(PlanName.TEAM), feature)
    assert str(caught.value) == f"the plan team of acme does not include {feature}"


def test_plans_are_a_table_of_the_file_and_json_in_the_variable(tmp_path: Path) -> None:
    file = tmp_path / "homeport.toml"
    file.write_text('[plans.team]\nfeatures = ["sso", "groups"]\nmembers = 5\n')
    expected = Plans(team=Plan(features=frozenset({Feature.SSO, Feature.GROUPS}), members=5))
    assert load({"HOMEPORT_CONFIG": str(file)}).plans == expected
    assert load({"HOMEPORT_PLANS": '{"team": {"features": ["sso", "groups"], "members": 5}}'}).plans == expected
    both = {"HOMEPORT_CONFIG": str(file), "HOMEPORT_PLANS": '{"pro": {"teams": 0}}'}
    assert load(both).plans == Plans(pro=Plan(teams=0))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"team": {"members": -1}}', ["plans.team.members", "0"]),
        ('{"team": {"features": ["magic"]}}', ["plans.team.features", "magic"]),
        ('{"team": {"colour": 1}}', ["plans", "colour"]),
        ('{"gold": {}}', ["plans", "gold"]),
        ("[]", ["plans"]),
        ("{", ["JSON"]),
    ],
)
def test_what_is_wrong_with_plans_is_named(text: str, words: list[str]) -> None:
    with pytest.raises(SettingsError) as caught:
        load({"HOMEPORT_PLANS": text})
    for word in ["HOMEPORT_PLANS", *words]:
        assert word in str(caught.value)
