"""The claims about the network of `--net`. One that is neither proved nor contradicted is skipped, with the reason."""

import pytest

from proofs_tests.given_net.plugin import NET
from shiftjax.testing._claims import CHECKS, PROVED, Subject, examine_claim


@pytest.fixture(scope="module")
def net(pytestconfig):
    return Subject(*pytestconfig.stash[NET])


@pytest.mark.parametrize("claim", CHECKS)
def test_claim(claim, net, record_property):
    outcome = examine_claim(claim, net)
    record_property("verdict", [outcome.claim, outcome.verdict, outcome.detail])
    if outcome.contradicted:
        pytest.fail(f"{claim}: {outcome.detail}", pytrace=False)
    if outcome.verdict != PROVED:
        pytest.skip(f"{outcome.verdict}: {outcome.detail}")
