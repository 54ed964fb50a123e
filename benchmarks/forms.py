"""How long does each form of a 2-D correlation take, forward and for the gradient of its kernel?

The table that `shiftjax/nets/_forms.py` chooses by, for the XLA that is installed: ms, the fastest in bold, what is
chosen in brackets. A form that sums products is timed where few values make an output.
"""

from __future__ import annotations

import argparse
import functools
import os
import platform

import jax
from _timing import time_alternating

from shiftjax.nets import _forms

LAYERS = [(236, 1, 16), (236, 3, 16), (236, 3, 64), (234, 16, 16), (116, 16, 32), (114, 32, 32), (56, 32, 64)]
LAYERS += [(54, 64, 64), (24, 128, 128), (84, 32, 16)]  # pixels per axis, channels, features
FORMS = (_forms.direct, _forms.without_copies, _forms.rows_as_channels, _forms.sum_of_products)
GRADIENTS = (*FORMS[:3], _forms.for_kernels)


def row(side: int, channels: int, features: int, repeats: int, *, gradient: bool) -> list[str]:
    """A layer of the table."""
    shape = (3, 3, channels, features)
    x = jax.random.normal(jax.random.key(0), (1, side, side, channels))
    kernel = jax.random.normal(jax.random.key(1), shape)
    runs = {}
    for form in GRADIENTS if gradient else FORMS:
        if form is _forms.sum_of_products and 9 * channels > _forms.MOST_TERMS:
            continue
        whole = functools.partial(lambda form, x, w: form(x, w, "VALID"), form)
        fn = jax.grad(lambda x, w, whole=whole: whole(x, w).sum(), 1) if gradient else whole
        runs[form.__name__] = functools.partial(lambda fn: jax.block_until_ready(fn(x, kernel)), jax.jit(fn))
    times = time_alternating(runs, repeats)
    chosen = "for_kernels" if gradient else _forms.form_for(shape, "VALID", sums=True).__name__
    cells = [f"{side}^2, {channels} -> {features}"]
    for form in GRADIENTS if gradient else FORMS:
        name = form.__name__
        text = f"{1e3 * times[name]:.1f}" if name in times else "-"
        text = f"**{text}**" if times.get(name) == min(times.values()) else text
        cells.append(f"[{text}]" if name == chosen else text)
    return cells


def main() -> None:
    """Prints both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=30)
    options = parser.parse_args()
    print(f"JAX {jax.__version__}, Python {platform.python_version()}, {os.cpu_count()} cores")
    for gradient, forms in ((False, FORMS), (True, GRADIENTS)):
        print("\nthe gradient of the kernel, ms" if gradient else "\nforward, ms")
        print("| image, channels -> features | " + " | ".join(form.__name__ for form in forms) + " |")
        print("|---" * (len(forms) + 1) + "|")
        for layer in LAYERS:
            print("| " + " | ".join(row(*layer, options.repeats, gradient=gradient)) + " |", flush=True)


if __name__ == "__main__":
    main()
