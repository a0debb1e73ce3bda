"""The base of data from outside, and types of fields."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from caterva2 import limits
from caterva2.limits import constants
from caterva2.names import DatasetPath, RootName, check_etag

Kind = Literal["array", "frame", "file", "group"]
"""What an entry is: a dataset of one of three kinds, or the description of a directory."""


class Model(BaseModel):
    """Base of data that arrives from outside: frozen, strict, unknown keys are ignored."""

    model_config = ConfigDict(
        frozen=True,
        strict=True,
        extra="ignore",
        arbitrary_types_allowed=True,
        allow_inf_nan=False,
        ser_json_bytes="base64",
        val_json_bytes="base64",
    )


def _root(value: object) -> RootName:
    if not isinstance(value, str):
        raise ValueError("a root's name is a string")
    return RootName(value)


def _path(value: object) -> DatasetPath:
    if not isinstance(value, str):
        raise ValueError("a path is a string")
    return DatasetPath(value)


def _with_port(endpoint: str) -> str:
    if not 1 <= int(endpoint.rpartition(":")[2]) <= 65535:
        raise ValueError("a port is 1 to 65535")
    return endpoint


Root = Annotated[RootName, BeforeValidator(_root)]
Path = Annotated[DatasetPath, BeforeValidator(_path)]
Etag = Annotated[str, BeforeValidator(check_etag)]
Count = Annotated[int, Field(ge=0, lt=2**63)]
Size32 = Annotated[int, Field(ge=0, lt=2**31)]
Token = Annotated[str, Field(min_length=1, max_length=64)]
"""Opaque name of a process or an agent."""
# Nothing else: ZeroMQ takes more into an endpoint, such as the address to connect from.
_TCP = r"^tcp://([A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+(%[A-Za-z0-9_.-]+)?\]|\*):[0-9]{1,5}$"
Endpoint = Annotated[str, Field(max_length=256, pattern=_TCP), AfterValidator(_with_port)]
Shape = Annotated[tuple[Count, ...], Field(max_length=constants.NDIM)]
MetalayerName = Annotated[str, Field(min_length=1, max_length=constants.METALAYER_NAME)]
DimensionName = Annotated[str, Field(min_length=1, max_length=constants.DIMENSION_NAME)]
ColumnName = Annotated[str, Field(min_length=1, max_length=constants.PATH_LENGTH)]
TTL_MS = int(limits.DEFAULTS.broker.lease_ttl * 1000)
Rights = Annotated[str, Field(max_length=constants.RIGHTS_LENGTH)]
"""Opaque name of what a publisher says about the readers of its root; empty for everybody."""
Grid = Annotated[tuple[Size32, ...], Field(max_length=constants.NDIM)]
