"""The claims about the network of `--net`. A claim that does not apply is skipped, with the reason."""

import pytest

from proofs_tests.given_net.plugin import NET
from shiftjax.testing._claims import CHECKS, FAILS, OPEN, Given, Verdict


@pytest.fixture(scope="module")
def net(pytestconfig):
    return Given(*pytestconfig.stash[NET])


@pytest.mark.parametrize("claim", CHECKS)
def test_claim(claim, net, record_property):
    found = Verdict(claim, *CHECKS[claim](net))
    record_property("verdict", [found.claim, found.verdict, found.detail])
    if found.verdict == OPEN:
        pytest.skip(found.detail)
    if found.verdict == FAILS:
        pytest.fail(f"{claim}: {found.detail}", pytrace=False)
