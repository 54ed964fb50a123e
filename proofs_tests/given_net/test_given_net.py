"""The claims about the network that `--net` names. A claim that does not apply is skipped, with the reason."""

import pytest

from proofs_tests.given_net.plugin import NET
from shiftjax.testing._claims import CHECKS, FAILS, OPEN, Given, Verdict


@pytest.fixture(scope="module")
def net(pytestconfig):
    return Given(*pytestconfig.stash[NET])


@pytest.mark.parametrize("claim", CHECKS)
def test_claim(claim, net, record_property):
    result = Verdict(claim, *CHECKS[claim](net))
    record_property("verdict", [result.claim, result.verdict, result.detail])
    if result.verdict == OPEN:
        pytest.skip(result.detail)
    if result.verdict == FAILS:
        pytest.fail(f"{claim}: {result.detail}", pytrace=False)
