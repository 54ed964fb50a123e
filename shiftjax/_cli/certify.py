"""`python -m shiftjax certify package.module:callable --shape 1,236,236,1 [--json]`."""

from __future__ import annotations

import argparse
import json

from shiftjax._cli import network
from shiftjax.certifier import CertificationError, certify


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments of the command."""
    network.arguments(parser)
    parser.add_argument("--json", action="store_true", help="print the certificate, or the refusal, as JSON")


def run(options: argparse.Namespace) -> int:
    """Prints the page and returns 0, or prints the refusal and returns 1."""
    fn, image = network.function(options.function), network.image(options)
    try:
        certificate = certify(fn, image, spatial_axes=options.spatial)
    except CertificationError as refusal:
        print(json.dumps(_fields(refusal), indent=1) if options.json else f"No certificate: {refusal}")
        return 1
    except (Exception, SystemExit) as error:  # whatever the user's function raises
        reason = network.one_line(error)
        raise network.UsageError(f"the function does not take an image of shape {image.shape}: {reason}") from error
    print(certificate.to_json() if options.json else certificate.explain(), end="\n" if options.json else "")
    return 0


def _fields(refusal: CertificationError) -> dict[str, dict[str, str]]:
    names = ("primitive", "source", "reason", "advice")
    return {"refused": {name: getattr(refusal, name) for name in names}}
