"""Where the page's jobs are drawn: on the pool, or by the engine of this instance."""

from __future__ import annotations

from contextlib import aclosing, suppress
from typing import TYPE_CHECKING

from z_image_turbo.jobs import Way
from z_image_turbo.pool import Pool, PoolUnreachable
from z_image_turbo.watching import watch

if TYPE_CHECKING:
    from z_image_turbo.pictures import Order
    from z_image_turbo.service import Service
    from z_image_turbo.watching import Happenings


class Drawing:
    """Draws for the page, wherever."""

    def __init__(self, service: Service) -> None:
        """Draw by `service`, or by the pool that its settings name."""
        self._service = service
        self._pool = Pool(service.settings) if service.settings.pool_urls else None

    async def draw(self, order: Order, caller: str, previews: bool = False) -> Happenings:
        """Tell of `order` until it is drawn, as `watch` does; whoever closes the iterator gives it up."""
        if self._pool is not None:
            with suppress(PoolUnreachable), self._service.away():  # it is logged, and this instance can draw
                async with aclosing(self._pool.draw(order, caller, previews)) as told:
                    async for happened in told:
                        yield happened
                return
        job = self._service.submit(order, Way.PAGE, caller)
        async with aclosing(watch(job, self._service.queue, order.steps if previews else 0)) as told:
            async for happened in told:
                yield happened
