"""Multiply-adds against hand calculations and the figures of papers."""

import pytest

from thawline.backend import keras
from thawline.stack.graph import flatten
from thawline.stack.work import Work, count_work

layers = keras.layers


def work(*inputs, layer):
    """The work of one layer on inputs of these shapes."""
    tensors = [keras.Input(shape) for shape in inputs]
    outputs = layer(*tensors)
    return count_work(flatten(keras.Model(tensors, outputs)).nodes)


@pytest.mark.parametrize(
    ("layer", "shape", "expected"),
    [
        # Places of the output, times kernel, times channels in and out.
        (layers.Conv1D(4, 3), (10, 5), 8 * 3 * 5 * 4),
        (layers.Conv2D(4, 3), (8, 8, 3), 6 * 6 * 3 * 3 * 3 * 4),
        (layers.Conv2D(4, (1, 5), strides=2, padding="same"), (9, 8, 3), 5 * 4 * 5 * 3 * 4),
        (layers.Conv2D(4, 3, dilation_rate=2), (8, 8, 3), 4 * 4 * 9 * 3 * 4),
        (layers.Conv2D(4, 3, groups=2), (8, 8, 6), 6 * 6 * 9 * 3 * 4),
        (layers.Conv2D(4, 3, data_format="channels_last"), (8, 8, 3), 6 * 6 * 9 * 3 * 4),
        (layers.Conv3D(2, 3), (5, 6, 7, 3), 3 * 4 * 5 * 27 * 3 * 2),
        (layers.DepthwiseConv1D(3), (8, 5), 6 * 3 * 5),
        (layers.DepthwiseConv2D(3, depth_multiplier=2), (8, 8, 5), 6 * 6 * 9 * 5 * 2),
        (layers.SeparableConv1D(7, 3), (8, 5), 6 * (3 * 5 + 5 * 7)),
        (layers.SeparableConv2D(7, 3, strides=2), (9, 9, 5), 4 * 4 * (9 * 5 + 5 * 7)),
        # A transposed convolution multiplies every value of its input.
        (layers.Conv1DTranspose(4, 3, strides=2), (8, 5), 8 * 3 * 5 * 4),
        (layers.Conv2DTranspose(4, 3, strides=2), (8, 8, 5), 8 * 8 * 9 * 5 * 4),
        (layers.Dense(7), (5,), 5 * 7),
        (layers.Dense(7), (3, 4, 5), 3 * 4 * 5 * 7),
        (layers.EinsumDense("abc,cd->abd", output_shape=(None, 7), bias_axes="d"), (4, 5), 4 * 5 * 7),
        (layers.EinsumDense("...x,xyz->...yz", output_shape=(2, 7), bias_axes="yz"), (4, 5), 4 * 5 * 2 * 7),
        (layers.TimeDistributed(layers.Dense(7)), (4, 5), 4 * 5 * 7),
        (layers.TimeDistributed(layers.Conv2D(4, 3)), (2, 8, 8, 3), 2 * 6 * 6 * 9 * 3 * 4),
        # Steps, times the gates' kernels for the input and for the state.
        (layers.SimpleRNN(4), (6, 5), 6 * (5 * 4 + 4 * 4)),
        (layers.LSTM(4), (6, 5), 6 * 4 * (5 * 4 + 4 * 4)),
        (layers.GRU(4, return_sequences=True), (6, 5), 6 * 3 * (5 * 4 + 4 * 4)),
        (layers.Bidirectional(layers.LSTM(4)), (6, 5), 2 * 6 * 4 * (5 * 4 + 4 * 4)),
        (layers.ConvLSTM2D(4, 3, padding="same"), (6, 8, 8, 5), 6 * 64 * 9 * 4 * (5 * 4 + 4 * 4)),
        # What works on each value by itself.
        (layers.BatchNormalization(), (8, 8, 3), 0),
        (layers.LayerNormalization(axis=(1, 2, 3)), (8, 8, 3), 0),
        (layers.PReLU(), (8, 8, 3), 0),
        (layers.ReLU(), (8, 8, 3), 0),
        (layers.GlobalAveragePooling2D(), (8, 8, 3), 0),
        (layers.Embedding(100, 8), (5,), 0),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, layers.Layer) else "",
)
def test_a_layer_is_counted_as_by_hand(layer, shape, expected):
    assert work(shape, layer=layer).multiply_adds == expected


def test_known_layers_are_counted_and_others_estimated():
    assert work((8, 8, 3), layer=layers.Conv2D(4, 3)) == Work(3888)
    estimated = work((4, 5), layer=layers.TimeDistributed(layers.Dense(7)))
    assert estimated == Work(4 * 5 * 7, is_estimate=True)


def test_a_size_that_is_not_fixed_makes_an_estimate():
    assert work((None, None, 3), layer=layers.Conv2D(4, 3)) == Work(9 * 3 * 4, is_estimate=True)


def test_attention_counts_projections_and_meetings():
    heads, key_dim, value_dim, queries, keys = 2, 3, 5, 4, 6
    layer = layers.MultiHeadAttention(heads, key_dim, value_dim)
    projections = queries * 7 * heads * key_dim + keys * 8 * heads * (key_dim + value_dim)
    meetings = queries * keys * heads * (key_dim + value_dim)
    answer = queries * heads * value_dim * 7
    assert work((queries, 7), (keys, 8), layer=layer).multiply_adds == projections + meetings + answer
    assert work((queries, 7), (keys, 8), layer=lambda q, v: layer(value=v, query=q)).multiply_adds == (
        projections + meetings + answer
    )


def test_grouped_attention_has_fewer_keys_and_values():
    # 4 query heads of size 3, 2 heads for keys and values; 5 places of 6 channels meet 5.
    layer = layers.GroupQueryAttention(3, num_query_heads=4, num_key_value_heads=2)
    expected = 5 * 6 * 3 * (4 + 2 + 2) + 5 * 5 * 4 * (3 + 3) + 5 * 4 * 3 * 6
    assert work((5, 6), layer=lambda x: layer(x, x)).multiply_adds == expected


def test_products_of_two_tensors_are_counted():
    def product(layer):
        return work((4, 5), (6, 5), layer=layer).multiply_adds

    assert product(lambda a, b: layers.Dot(axes=(2, 2))([a, b])) == 4 * 6 * 5
    assert product(lambda a, b: keras.ops.einsum("bij,bkj->bik", a, b)) == 4 * 6 * 5
    assert product(lambda a, b: keras.ops.matmul(a, keras.ops.transpose(b, (0, 2, 1)))) == 4 * 6 * 5
    # Queries meet keys, and what comes of it meets values.
    assert product(lambda a, b: layers.Attention()([a, b])) == 4 * 6 * 5 * 2
    assert product(lambda a, b: layers.AdditiveAttention()([a, b])) == 4 * 6 * 5 * 2


def test_an_array_in_a_product_counts_as_a_weight_does():
    kernel = keras.ops.ones((5, 7))
    assert work((4, 5), layer=lambda x: keras.ops.matmul(x, kernel)).multiply_adds == 4 * 5 * 7
    kernel = keras.ops.ones((3, 3, 3, 4))
    assert work((8, 8, 3), layer=lambda x: keras.ops.conv(x, kernel)).multiply_adds == 3888


@pytest.mark.parametrize(
    ("name", "published", "tolerance"),
    [
        # Table 4 of arXiv:1801.04381: 300 M.
        ("MobileNetV2", 300e6, 0.01),
        # Table 4 of arXiv:1704.04861: 569 M.
        ("MobileNet", 569e6, 0.001),
        # Table 1 of arXiv:1512.03385: 3.8 G; it leaves out the projections of shortcuts, which add 2 %.
        ("ResNet50", 3.8e9, 0.02),
        # Table 2 of arXiv:1905.11946: 0.39 G.
        ("EfficientNetB0", 0.39e9, 0.015),
    ],
)
def test_known_networks_have_the_published_number(name, published, tolerance):
    model = getattr(keras.applications, name)(weights=None)
    counted = count_work(flatten(model).nodes)
    assert counted.multiply_adds == pytest.approx(published, rel=tolerance)
    assert not counted.is_estimate
