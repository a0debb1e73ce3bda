"""Every number that bounds work, with its reason.

Facts of a format or of the protocol are `constants`. The frozen groups are limits of a running
service: they are handed in, and ``[limits.GROUP]`` in ``caterva2.toml`` sets them. Sizes are in
bytes, times in seconds unless the name says otherwise. A group's fields are ints that count, floats
that are seconds, or name the `Range` of values that make sense for them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from caterva2.limits.ranges import (
    COUNTS as COUNTS,
)
from caterva2.limits.ranges import (
    SECONDS as SECONDS,
)
from caterva2.limits.ranges import (
    Bytes as Bytes,
)
from caterva2.limits.ranges import (
    ChunkBytes as ChunkBytes,
)
from caterva2.limits.ranges import (
    Range as Range,
)
from caterva2.limits.services import (
    BrokerLimits as BrokerLimits,
)
from caterva2.limits.services import (
    CacheLimits as CacheLimits,
)
from caterva2.limits.services import (
    IsolationLimits as IsolationLimits,
)
from caterva2.limits.services import (
    PublisherLimits as PublisherLimits,
)
from caterva2.limits.services import (
    SubscriberLimits as SubscriberLimits,
)
from caterva2.limits.services import (
    WireLimits as WireLimits,
)
from caterva2.limits.users import (
    AccountLimits as AccountLimits,
)
from caterva2.limits.users import (
    ClientLimits as ClientLimits,
)
from caterva2.limits.users import (
    ClusterLimits as ClusterLimits,
)
from caterva2.limits.users import (
    ComputeLimits as ComputeLimits,
)
from caterva2.limits.users import (
    OverviewLimits as OverviewLimits,
)
from caterva2.limits.users import (
    SpecialLimits as SpecialLimits,
)
from caterva2.limits.users import (
    WebLimits as WebLimits,
)


@dataclass(frozen=True, slots=True)
class Limits:
    """All groups, as ``[limits]`` in ``caterva2.toml`` names them."""

    wire: WireLimits = field(default_factory=WireLimits)
    broker: BrokerLimits = field(default_factory=BrokerLimits)
    publisher: PublisherLimits = field(default_factory=PublisherLimits)
    isolation: IsolationLimits = field(default_factory=IsolationLimits)
    cache: CacheLimits = field(default_factory=CacheLimits)
    subscriber: SubscriberLimits = field(default_factory=SubscriberLimits)
    web: WebLimits = field(default_factory=WebLimits)
    overviews: OverviewLimits = field(default_factory=OverviewLimits)
    special: SpecialLimits = field(default_factory=SpecialLimits)
    compute: ComputeLimits = field(default_factory=ComputeLimits)
    cluster: ClusterLimits = field(default_factory=ClusterLimits)
    accounts: AccountLimits = field(default_factory=AccountLimits)
    client: ClientLimits = field(default_factory=ClientLimits)


DEFAULTS = Limits()
