"""The version of the package, also where it is not installed but runs from a checkout."""

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

UNKNOWN = "0+unknown"


def _of_checkout() -> str:
    """As the pyproject.toml beside the package says."""
    import tomllib  # not installed is rare, and `import shiftjax` should be fast

    try:
        project = tomllib.loads(Path(__file__).parents[1].joinpath("pyproject.toml").read_text())["project"]
        return project["version"] if project["name"] == "shiftjax" else UNKNOWN
    except (OSError, ValueError, KeyError):
        return UNKNOWN


try:
    VERSION = version("shiftjax")
except PackageNotFoundError:
    VERSION = _of_checkout()
