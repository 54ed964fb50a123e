"""Eight devices in one process: tiles spread over them, and single tiles shared out, give the one-device result."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import jax, jax.numpy as jnp, numpy as np, shiftjax as sj
from jax.sharding import Mesh
from shiftjax.testing import integer_variables

devices = np.array(jax.devices())
assert len(devices) == 8, devices
net = sj.UNet(3, features=2, factors=(2, 2), convs=1, param_dtype=jnp.int32)
variables = integer_variables(jax.random.key(0), net, jax.ShapeDtypeStruct((1, 42, 42, 1), jnp.int32))

def fn(x):
    return net.apply(variables, x)

image = np.random.default_rng(0).integers(-99, 99, (1, 60, 50, 1)).astype(np.int32)
plan = sj.plan_tiles(fn, image.shape, tile=16, dtype=jnp.int32)
one = sj.predict_tiled(fn, image, plan, devices=devices[:1])
whole = fn(jnp.pad(image, plan.pad_width, mode=plan.pad))[plan.whole_crop]
results = {
    "spread": sj.predict_tiled(fn, image, plan, batch_size=1),
    "row": sj.predict_tiled(fn, image, plan, mesh=Mesh(devices, ("y",))),
    "grid": sj.predict_tiled(fn, image, plan, mesh=Mesh(devices.reshape(2, 4), ("y", "x"))),
}
assert np.array_equal(one, whole)
for name, stitched in results.items():
    print(name, np.array_equal(stitched, one))
other = sj.plan_tiles(fn, image.shape, tile=7, illegal_tile=True, dtype=jnp.int32)
print("control", np.array_equal(sj.predict_tiled(fn, image, other), one))
try:
    sj.predict_tiled(fn, image, plan, mesh=Mesh(devices.reshape(2, 2, 2), ("a", "b", "c")))
except ValueError as error:
    print(error)
"""


@pytest.fixture(scope="module")
def printed():
    flags = "--xla_force_host_platform_device_count=8 --xla_backend_optimization_level=0"
    environment = {**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    root = Path(__file__).parent.parent.parent
    done = subprocess.run([sys.executable, "-c", SCRIPT], env=environment, cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.splitlines()


@pytest.mark.parametrize("way", ["spread", "row", "grid"])
def test_equals_one_device(printed, way):
    assert f"{way} True" in printed


def test_control_illegal_tiles_differ(printed):
    assert "control False" in printed


def test_a_mesh_of_more_axes_than_the_image_is_refused(printed):
    assert "`mesh`: expected at most 2 axes, one per spatial axis, found ('a', 'b', 'c')." in printed
