"""The views of a subscriber that its users have, kept between their requests."""

from __future__ import annotations

from caterva2.access.exchange import Exchanges
from caterva2.access.prefetches import Prefetches
from caterva2.access.rights import EffectiveRights
from caterva2.access.user_view import UserView
from caterva2.accounts.policy import Policy, ReadRights
from caterva2.accounts.scopes import TokenUser
from caterva2.limits import DEFAULTS, Limits
from caterva2.model import User
from caterva2.runtime.lru import Lru
from caterva2.special.computed.context import ComputeContext, WorkersOf
from caterva2.special.roots import SpecialRoots
from caterva2.subscriber.service import Subscriber


class UserViews:
    """The views of a subscriber, one for each user and one without login.

    A view depends on the whole `User` value and on nothing else that can change: rights are
    looked up in the policy, and roots in the subscriber, at each call. So a view is kept between
    the requests of its user.

    Parameters
    ----------
    subscriber : Subscriber
    special : SpecialRoots
    policy : ReadRights, optional
        Which users may read what. Without one there are no accounts, and all published roots are
        public that their publishers do not restrict.
    limits : Limits
    workers : WorkersOf, optional
        Compute large expressions.
    """

    def __init__(
        self,
        subscriber: Subscriber,
        special: SpecialRoots,
        policy: ReadRights | None = None,
        limits: Limits = DEFAULTS,
        workers: WorkersOf | None = None,
    ) -> None:
        self._subscriber = subscriber
        self._special = special
        self._policy = policy
        given = subscriber.pool, special.incoming, limits.compute
        self._context = ComputeContext(*given, workers, limits.cluster)
        self._views: Lru[str | TokenUser, UserView] = Lru(limits.accounts.user_views)
        self._exchanges = Exchanges(subscriber, limits)
        self._prefetches = Prefetches(limits.subscriber.anonymous_prefetches)
        self._anonymous = self._make(None)

    def _make(self, user: User | None) -> UserView:
        accounts = self._policy is not None
        policy = EffectiveRights(self._policy or Policy(), self._subscriber.rights)
        context = self._context.for_user(user)
        given = self._subscriber, self._special, context, policy, user, accounts
        return UserView(*given, self._prefetches, self._exchanges.of(policy, user))

    def for_user(self, user: User | None) -> UserView:
        """Return the view of a user; None is a reader without login."""
        if user is None:
            return self._anonymous
        # A whole user takes three times as long to find.
        key = user if isinstance(user, TokenUser) else user.ident
        view = self._views.get(key)
        if view is None or (view.user is not user and view.user != user):
            view = self._make(user)
            self._views.put(key, view)
        return view

    async def forget(self, user: User) -> None:
        """Drop the view of a deleted user."""
        self._views.pop(user.ident)
