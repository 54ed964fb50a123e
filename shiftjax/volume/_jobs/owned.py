"""What goes to the workers of a cluster: a pass, and what each of them checks before it writes a pixel."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from shiftjax.volume._jobs.tiles import Pass, Progress, TileAtTime
from shiftjax.volume._storage.claim import Claim, holder
from shiftjax.volume._storage.errors import VolumeError
from shiftjax.volume._storage.folder import open_folder
from shiftjax.volume._targets.new_target import NewTarget, check_versions, stored_identity
from shiftjax.volume._targets.provenance import Provenance
from shiftjax.volume._targets.target import Target


@dataclass(frozen=True)
class Owned:
    """A pass that runs only where it computes what the target's owner asked for, and only while that one owns it.

    A function is often sent by the name of its module, of which a worker may have another version; a path may lead to
    another file there; jax may be another one. So each process finds the identity of its own copy of the pass.

    Attributes:
        compute: the pass.
        target: where it writes.
        claims: the folder of claims on the target.
        token: of the owner's claim.
        identity: of the pass, as the owner found it.
        accept_versions: whether other versions of the programs that compute will do.
    """

    compute: Pass
    target: str
    claims: str
    token: str
    identity: Provenance
    accept_versions: bool
    storage_options: dict[str, Any] | None = field(default=None, repr=False)  # may hold credentials

    @classmethod
    def of(cls, compute: Pass, target: Target, claim: Claim, accept_versions: bool) -> Owned:
        """The pass with what its workers have to check."""
        identity, options = compute.identity(), target.storage_options
        return cls(compute, target.uri, claim.uri, claim.token, identity, accept_versions, options)

    def __call__(self, tiles: Iterable[TileAtTime], progress: Progress) -> None:
        """Goes over tiles.

        Raises:
            VolumeError: this process would compute something else, or the target has another owner.
        """
        assert self._same
        if holder(open_folder(self.claims, self.storage_options)) != self.token:
            raise VolumeError(f"the target {self.target} is not claimed any more by the process that sent this work")
        self.compute(tiles, progress)

    @cached_property
    def _same(self) -> bool:
        """Found once in a process.

        Raises:
            VolumeError: something differs; says what.
        """
        new = NewTarget(self.target, storage_options=self.storage_options)
        bound = stored_identity(new)
        if bound is None:
            raise VolumeError(f"a worker finds no target at {self.target}; all workers must reach it by the same name")
        check_versions(new, bound, accept=self.accept_versions)
        mend = f"(for the target {self.target}); give all workers the same files and modules, and start them anew"
        try:
            found = self.compute.identity()
        except VolumeError:
            raise
        except Exception as error:  # such as no proof of what this process has
            raise VolumeError(f"a worker computes with something else than was sent: {error} {mend}") from error
        differing = [name for name in found if found[name] != self.identity.get(name)]
        differing += [name for name in found if name in bound and bound[name] != found[name] and name not in differing]
        if differing:
            raise VolumeError(
                f"a worker computes with another {' and another '.join(differing)} than the process that sent it {mend}"
            )
        return True

    def __reduce__(self) -> Any:
        values = (self.compute, self.target, self.claims, self.token, self.identity, self.accept_versions)
        return Owned, (*values, self.storage_options)  # without what this process has found
