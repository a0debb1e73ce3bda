"""The error of this part."""

from __future__ import annotations

from caterva2.errors import CatervaError


class BackupFailed(CatervaError):
    """A backup can't be made or restored."""

    code, name = 500, "backup-failed"
