"""The certifier: how any network tiles, proved from its jaxpr."""

from shiftjax.certify._axis import AxisCertificate
from shiftjax.certify._batch import batchwise
from shiftjax.certify._certify import certify
from shiftjax.certify._refusal import CertificationError
from shiftjax.certify.certificate import Certificate, Misalignment

__all__ = ["AxisCertificate", "Certificate", "CertificationError", "Misalignment", "batchwise", "certify"]
