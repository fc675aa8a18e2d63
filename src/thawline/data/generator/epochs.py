"""Epochs: the order and the view that a request for a batch shows.

Keras' trainer drives an iterator by `on_epoch_begin` and `on_epoch_end`, peeks at two batches before, and reads ahead
while it trains. Loops, `next()`, `zip` and one's own datasets ask for batches and nothing else. Both are served by one
object that holds plain numbers only.
"""

from typing import NamedTuple

# Batches that Keras' adapter looks at before an epoch begins, to learn their shapes.
_PEEKED = 2


class Shown(NamedTuple):
    """The order of the images that a batch is made of, and their view; None stands for one not shown before."""

    order: int
    view: int | None


class Epochs:
    """Counts epochs and passes.

    Where Keras drives, the view of a batch is the number of its pass over the images: the epoch's own number, unless
    `steps_per_epoch` spreads a pass over several epochs. A batch that is read ahead belongs to the pass it was read
    for, whenever that was, and one that is asked for twice in a pass is the same twice. Elsewhere every request shows a
    new view, so that a batch that is asked for again looks different.

    Attributes:
        batches: how many batches a pass over the images has; it may be set later.
        epoch: the epoch that comes next, or is going on, from 0.
        batch_index: the batch that `next()` gives next.

    Example:
        >>> epochs = Epochs(2)
        >>> epochs.request(0)
        Shown(order=0, view=None)
        >>> epochs.begin()
        >>> epochs.request(0), epochs.request(1)
        (Shown(order=0, view=0), Shown(order=0, view=0))
        >>> epochs.end()
        False
    """

    def __init__(self, batches: int) -> None:
        self.batches = batches
        self.batch_index = 0
        # `next()` was sent back to the first batch before a pass was over.
        self._is_sent_back = False
        # The number of the pass that Keras drives, which batches it has asked for, and over how many epochs it goes.
        self._pass: int | None = None
        self._requested: set[int] = set()
        self._epochs_of_pass = 0
        self.start_at(0)

    def start_at(self, epoch: int) -> None:
        """Makes this the epoch that comes next, and forgets what was shown."""
        self.epoch = epoch
        # Changes of the order outside Keras' epochs.
        self._laps = 0
        self._is_within = False
        self._peeks: set[int] | None = None
        self._forget_pass()

    @property
    def is_driven(self) -> bool:
        """True while Keras has begun an epoch and not ended it."""
        return self._is_within

    @property
    def order(self) -> int:
        """The number of the order that a request outside Keras' epochs would see."""
        return self.epoch + self._laps

    # -- driven by Keras -------------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Notes that Keras is about to drive: what it peeks at and resets before `begin` counts for nothing."""
        self._peeks = set()
        self._is_within = False
        self._forget_pass()

    def begin(self) -> None:
        """Begins an epoch that Keras drives."""
        self._peeks = None
        self._is_within = True
        if self._pass is None:
            self._pass = self.epoch

    def end(self) -> bool:
        """Ends an epoch; outside Keras' epochs the images are shuffled once more.

        Returns:
            Whether a pass has gone on over several epochs so far. Where `steps_per_epoch` is smaller than the number of
            batches, Keras gives what an epoch leaves to the next one.
        """
        if not self._is_within:
            self._forget_pass()
            self._laps += self._peeks is None
            return False
        # A pass that was opened ahead begins with the next epoch.
        self._epochs_of_pass += (self._pass or 0) <= self.epoch
        self.epoch += 1
        self._is_within = False
        return self._epochs_of_pass > 1

    # -- requests --------------------------------------------------------------------------------------------

    def request(self, index: int) -> Shown:
        """Notes a request for a batch and says what it shows."""
        if self._is_within or self._is_ahead(index):
            return self._request_driven(index)
        if self._peeks is not None and index < _PEEKED and index not in self._peeks:
            self._peeks.add(index)
            return Shown(self.epoch, self.epoch)
        self._peeks = None
        return Shown(self.order, None)

    def go_to(self, index: int) -> None:
        """Makes this the batch that `next()` gives next."""
        self._is_sent_back = index == 0 and (self._is_sent_back or self.batch_index > 0)
        self.batch_index = index

    def next_request(self) -> tuple[int, Shown]:
        """The batch that `next()` gives, and what it shows; after the last one comes the first of another order.

        So it does after `go_to(0)`: loops that reset before a pass is over see all images in time.
        """
        index = self.batch_index % self.batches
        self._laps += self._is_sent_back and index == 0
        self._is_sent_back = False
        shown = self.request(index)
        self.batch_index = (index + 1) % self.batches
        if self.batch_index == 0:
            self._laps += 1
        return index, shown

    def _is_ahead(self, index: int) -> bool:
        """Tells a batch that Keras may read ahead between two epochs from one that somebody asks for again."""
        return self._pass is not None and (index not in self._requested or self._may_open())

    def _may_open(self) -> bool:
        """Tells that a pass is over, and the next one is not further ahead than the epoch that comes next."""
        return len(self._requested) == self.batches and self.epoch >= (self._pass or 0)

    def _request_driven(self, index: int) -> Shown:
        """A request of Keras: a pass asks for every batch once, and the next request opens the next pass.

        A batch that is asked for again before the pass is over is for somebody who looks on.
        """
        if self._pass is None:
            self._pass = self.epoch
        if index in self._requested and self._may_open():
            self._pass += 1
            self._requested, self._epochs_of_pass = set(), 0
        self._requested.add(index)
        return Shown(self._pass, self._pass)

    def _forget_pass(self) -> None:
        self._pass = None
        self._requested = set()
        self._epochs_of_pass = 0
