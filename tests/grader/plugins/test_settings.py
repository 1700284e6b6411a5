"""What an instructor can set about grading: traitlets with help, and the environment's values over them."""

from dataclasses import fields

import pytest
from traitlets import TraitError
from traitlets.config import Config

from grader.grading.running import Limits
from grader.plugins.autograde import SubmissionLimits, TrustedExporter


def bounds(**settings):
    return TrustedExporter(config=Config(settings)).bounds


def test_every_limit_has_a_traitlet_with_its_default_and_a_help_text():
    traits = SubmissionLimits.class_traits(config=True)
    assert {name: trait.default_value for name, trait in traits.items()} == vars(Limits())
    assert all(trait.help == limit.metadata["help"] for limit in fields(Limits) for trait in [traits[limit.name]])
    assert all(trait.help for trait in traits.values())


def test_a_limit_is_set_by_name_and_the_environments_values_win():
    config = {"SubmissionLimits": {"wall": 300, "cell": 5}, "TrustedExporter": {"limits": {"cell": 7}}}
    assert (bounds(**config).wall, bounds(**config).cell, bounds(**config).cpu) == (300, 7, 600)


@pytest.mark.parametrize(
    ("settings", "error", "told"),
    [
        ({"SubmissionLimits": {"wall": -1}}, TraitError, "wall"),
        ({"SubmissionLimits": {"memory": "much"}}, TraitError, "memory"),
        ({"TrustedExporter": {"limits": {"wall": "long"}}}, TraitError, "limits"),
        (
            {"TrustedExporter": {"limits": {"walls": 3}}},
            ValueError,
            "found walls=3, expected positive numbers for wall",
        ),
        ({"TrustedExporter": {"limits": {"wall": -3}}}, ValueError, "found wall=-3"),
    ],
)
def test_what_is_no_limit_is_refused_with_its_name(settings, error, told):
    with pytest.raises(error, match=told):
        bounds(**settings)
