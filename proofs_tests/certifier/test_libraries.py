"""Networks of Flax (Linen and NNX) and, where installed, Equinox and Haiku: taken as they come."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.tree_util import Partial

from shiftjax.certifier import CertificationError, certify

X = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)


def linen(net: nn.Module) -> Partial:
    return Partial(net.apply, jax.eval_shape(net.init, jax.random.key(0), X))


class Linen(nn.Module):
    norm: Any = None

    @nn.compact
    def __call__(self, x: Any) -> Any:
        y = nn.max_pool(nn.gelu(nn.Conv(8, (3, 3))(x)), (2, 2), (2, 2))
        y = y if self.norm is None else self.norm()(y)
        y = nn.ConvTranspose(8, (2, 2), (2, 2))(y)
        return nn.Dense(4)(jnp.concatenate([x, y], -1))


@pytest.mark.parametrize(
    ("norm", "passes"),
    [
        (None, True),
        (lambda: nn.BatchNorm(use_running_average=True), True),
        (lambda: nn.LayerNorm(), True),
        (lambda: nn.RMSNorm(), True),
        (lambda: nn.GroupNorm(num_groups=2), False),
        (lambda: nn.InstanceNorm(), False),
        (lambda: nn.LayerNorm(reduction_axes=(1, 2, 3)), False),
    ],
)
def test_linen(norm: Any, passes: bool) -> None:
    """Norms over channels keep the period; norms that read space are refused."""
    if not passes:
        with pytest.raises(CertificationError, match="reduce_sum"):
            certify(linen(Linen(norm)), X)
        return
    cert = certify(linen(Linen(norm)), X)
    assert cert.period == (2, 2)
    assert all("Linen" not in name for name in cert.parameters)
    assert any("kernel" in name for name in cert.parameters)
    assert "ConvTranspose_0" in cert.explain()


def test_linen_dropout_needs_to_be_off() -> None:
    """Random masks vary over space."""

    class Dropped(nn.Module):
        off: bool

        @nn.compact
        def __call__(self, x: Any) -> Any:
            return nn.Dropout(0.5, deterministic=self.off)(x)

    assert certify(linen(Dropped(True)), X).period == (1, 1)
    with pytest.raises(CertificationError, match="noise"):
        certify(lambda x: Dropped(False).apply({}, x, rngs={"dropout": jax.random.key(0)}), X)


class Nnx(nnx.Module):
    def __init__(self, rngs: nnx.Rngs) -> None:
        self.first = nnx.Conv(3, 8, (3, 3), padding="VALID", rngs=rngs)
        self.norm = nnx.BatchNorm(8, use_running_average=True, rngs=rngs)
        self.last = nnx.Conv(8, 4, (3, 3), padding="VALID", rngs=rngs)

    def __call__(self, x: Any) -> Any:
        return self.last(nnx.relu(self.norm(self.first(x))))


def test_nnx_as_a_module_and_through_split_and_merge() -> None:
    """Both ways the parameters are unknown leaves."""
    net = Nnx(nnx.Rngs(0))
    graph, state = nnx.split(net)
    for fn in (net, Partial(lambda s, x: nnx.merge(graph, s)(x), state)):
        cert = certify(fn, X)
        assert [(a.lo, a.hi) for a in cert.axes] == [((0,), (4,))] * 2
        assert len(cert.parameters) >= 8
        assert cert.constants == ()


def test_equinox() -> None:
    """A module is a pytree: its arrays are parameters, its functions are not."""
    eqx = pytest.importorskip("equinox")
    one, two = jax.random.split(jax.random.key(0))
    net = eqx.nn.Sequential(
        [
            eqx.nn.Conv2d(3, 8, 3, key=one),
            eqx.nn.Lambda(jax.nn.silu),
            eqx.nn.MaxPool2d(2, 2),
            eqx.nn.ConvTranspose2d(8, 4, 2, 2, key=two),
        ]
    )
    cert = certify(net, jax.ShapeDtypeStruct((3, 34, 34), jnp.float32), spatial_axes=(1, 2))
    assert (cert.period, cert.output_axes) == ((2, 2), (1, 2))
    assert all(axis.minimal for axis in cert.axes)
    assert len(cert.parameters) == 4
    batched = jax.ShapeDtypeStruct((5, 3, 34, 34), jnp.float32)
    assert certify(jax.vmap(net), batched, spatial_axes=(2, 3)).period == (2, 2)


def test_haiku() -> None:
    """A classifier is refused at its global mean; the layers before it are certified."""
    hk = pytest.importorskip("haiku")
    x = np.zeros((1, 64, 64, 3), np.float32)

    def network(whole: bool) -> Partial:
        def run(v: Any) -> Any:
            v = hk.max_pool(jax.nn.relu(hk.Conv2D(8, 3)(v)), (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
            return hk.Linear(10)(v.mean((1, 2))) if whole else v

        fn = hk.without_apply_rng(hk.transform(run))
        return Partial(fn.apply, jax.eval_shape(fn.init, jax.random.key(0), x))

    assert certify(network(False), x).period == (2, 2)
    with pytest.raises(CertificationError, match="whole tile"):
        certify(network(True), x)
