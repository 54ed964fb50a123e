"""The certifier: how any network tiles, proved from its jaxpr."""

from shiftjax.certifier._axis_certificate import AxisCertificate
from shiftjax.certifier._batchwise import batchwise
from shiftjax.certifier._certificate import Certificate, Misalignment
from shiftjax.certifier._certify import certify
from shiftjax.certifier._cutting.cut import Cut
from shiftjax.certifier._cutting.noted import Noted
from shiftjax.certifier._dataflow import Along, Array, Constant, Dataflow, Operation
from shiftjax.certifier._refusal import CertificationError
from shiftjax.certifier._witnesses.witness import Witness

__all__ = [
    "Along",
    "Array",
    "AxisCertificate",
    "Certificate",
    "CertificationError",
    "Constant",
    "Cut",
    "Dataflow",
    "Misalignment",
    "Noted",
    "Operation",
    "Witness",
    "batchwise",
    "certify",
]
