"""Epochs: the order and view of each request, by what Keras' trainer calls and by what loops ask for."""

import pytest

from thawline.data.generator.epochs import Epochs


def drive(epochs, *, epochs_to_run, steps=None, ahead=0, early="begun"):
    """Calls and requests of Keras' fit on a dataset of `epochs.batches` batches; what is trained on, by epoch.

    Keras makes an adapter, looks at two batches, resets, and asks for batches in a pass that goes on over epochs where
    `steps` is smaller than the pass. A queue in front asks for `ahead` batches more than are trained on; of the next
    pass it asks for the first ones before the epoch has "ended", when it has, or when the next one has "begun".
    """
    epochs.prepare()
    for index in range(min(2, epochs.batches)):
        epochs.request(index)
    epochs.end()
    trained, waiting, seen, asked = [], [], 0, 0

    def read_ahead(most):
        nonlocal asked
        while asked < min(most, epochs.batches):
            waiting.append((asked, epochs.request(asked)))
            asked += 1

    for _ in range(epochs_to_run):
        epochs.begin()
        if steps is None:
            waiting, seen, asked = [], 0, 0
        shown = []
        for _ in range(steps or epochs.batches):
            if seen >= epochs.batches:
                break
            read_ahead(seen + 1 + ahead)
            shown.append(waiting.pop(0))
            seen += 1
        if seen >= epochs.batches:
            # Keras makes the iterator of the next pass at once.
            waiting, seen, asked = [], 0, 0
            if early == "ended":
                read_ahead(ahead)
        epochs.end()
        if early == "between" and seen == 0:
            read_ahead(ahead)
        trained.append(shown)
    return trained


def views(trained):
    return [[shown.view for _, shown in epoch] for epoch in trained]


def test_the_view_is_the_number_of_the_epoch():
    assert views(drive(Epochs(3), epochs_to_run=3)) == [[0] * 3, [1] * 3, [2] * 3]


def test_a_second_fit_goes_on_with_the_next_epoch():
    epochs = Epochs(3)
    drive(epochs, epochs_to_run=2)
    assert views(drive(epochs, epochs_to_run=1)) == [[2] * 3]
    assert epochs.epoch == 3


@pytest.mark.parametrize("early", ["ended", "between", "begun"])
@pytest.mark.parametrize("steps", [1, 2, 3, 4, 5, 6])
def test_reading_ahead_changes_nothing(steps, early):
    expected = drive(Epochs(6), epochs_to_run=13, steps=steps)
    for ahead in (1, 2, 4):
        assert drive(Epochs(6), epochs_to_run=13, steps=steps, ahead=ahead, early=early) == expected


@pytest.mark.parametrize("ahead", [0, 4])
def test_a_pass_over_several_epochs_shows_every_image_once_and_in_one_order(ahead):
    trained = drive(Epochs(5), epochs_to_run=6, steps=2, ahead=ahead)
    assert [[index for index, _ in epoch] for epoch in trained] == [[0, 1], [2, 3], [4], [0, 1], [2, 3], [4]]
    assert views(trained) == [[0, 0], [0, 0], [0], [1, 1], [1, 1], [1]]
    assert all(shown.order == shown.view for epoch in trained for _, shown in epoch)


def test_looking_on_while_keras_trains_changes_nothing():
    epochs = Epochs(3)
    epochs.prepare()
    epochs.end()
    for epoch in range(3):
        epochs.begin()
        for index in (0, 0, 1, 0, 2):
            assert epochs.request(index).view == epoch
        # Whatever is asked for when all was trained on is of the next epoch.
        assert [epochs.request(index).view for index in (0, 0)] == [epoch + 1] * 2
        assert not epochs.end()


def test_an_epoch_that_was_broken_off_begins_again():
    epochs = Epochs(4)
    epochs.prepare()
    epochs.begin()
    epochs.request(2)
    assert views(drive(epochs, epochs_to_run=2)) == [[0] * 4, [1] * 4]


def test_validation_in_steps_begins_at_the_first_batch_in_every_epoch():
    epochs = Epochs(4)
    epochs.prepare()
    for epoch in range(3):
        epochs.end()
        epochs.begin()
        assert [epochs.request(index).view for index in (0, 1)] == [epoch] * 2
        assert not epochs.end()


def test_an_epoch_of_leftovers_is_told():
    epochs = Epochs(3)
    epochs.prepare()
    told = []
    for asked in ((0, 1), (2,), (0, 1)):
        epochs.begin()
        for index in asked:
            epochs.request(index)
        told.append(epochs.end())
    assert told == [False, True, False]


def test_outside_of_epochs_every_request_wants_a_new_view():
    epochs = Epochs(2)
    assert [epochs.request(0) for _ in range(2)] == [(0, None)] * 2
    epochs.end()
    assert epochs.request(0) == (1, None)


def test_looks_before_a_fit_that_never_began_are_new_again():
    epochs = Epochs(5)
    epochs.prepare()
    assert [epochs.request(index).view for index in (0, 1)] == [0, 0]
    assert [epochs.request(index).view for index in (0, 0, 1)] == [None] * 3


def test_next_changes_the_order_after_each_pass():
    epochs = Epochs(2)
    assert [epochs.next_request() for _ in range(5)] == [
        (0, (0, None)),
        (1, (0, None)),
        (0, (1, None)),
        (1, (1, None)),
        (0, (2, None)),
    ]


def test_looks_before_a_fit_do_not_move_its_epochs():
    epochs = Epochs(2)
    for _ in range(5):
        epochs.next_request()
    epochs.end()
    assert drive(epochs, epochs_to_run=1) == [[(0, (0, 0)), (1, (0, 0))]]


@pytest.mark.parametrize("early", ["ended", "between", "begun"])
@pytest.mark.parametrize(("steps", "is_told"), [(None, False), (6, False), (5, True), (3, True), (1, True)])
def test_steps_are_told_where_they_are_fewer_than_the_batches_only(steps, is_told, early):
    class Told(Epochs):
        ends = ()

        def end(self):
            self.ends = (*self.ends, super().end())
            return self.ends[-1]

    epochs = Told(6)
    drive(epochs, epochs_to_run=9, steps=steps, ahead=2, early=early)
    assert any(epochs.ends) == is_told
