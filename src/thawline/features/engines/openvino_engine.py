"""The prefix on OpenVINO: a processor computes it about twice as fast as by Keras, in bfloat16 up to four times.

Each request computes a single image on a single core, so that neither an image's neighbours nor the number of cores can
change its answer. As many images as there are cores are computed at once; more wait in line, so that the cores have
work while batches are read and answers are used.
"""

from collections import deque
from collections.abc import Generator, Iterable
from contextlib import suppress
from functools import cache
from typing import Any

import numpy as np

from thawline.errors import EngineError
from thawline.features.engines.conversion import convert, import_openvino, openvino_version, refusing
from thawline.features.engines.engine import ENGINE_BATCH, check_precision, count_cores, in_parts, joined

# Images per request. Two take 2 % less time of the processor in float32 (EfficientNet-Lite0 at 224 px) and 4 % less in
# bfloat16, but then an image could notice its neighbour.
_REQUEST_BATCH = 1

# Images that are on their way, at least, while a batch of answers is used; two for each core where there are many.
_IMAGES_AHEAD = 2 * ENGINE_BATCH

# Left to itself OpenVINO computes in bfloat16 wherever the processor can.
_PRECISION_HINTS = {"float32": "f32", "bfloat16": "bf16"}


class OpenVinoEngine:
    """Runs the prefix by OpenVINO on the processor.

    It is compiled once, from the weights that the prefix has at that time. Several `answers` may be open at once. Its
    memory and its threads are given back when nobody refers to it and its answers any more.

    Args:
        prefix: Keras model from images of a fixed size to crossing tensors.
        precision: "float32", or "bfloat16" where the processor has instructions for it.

    Raises:
        ArgumentError: there is no such precision.
        EngineError: OpenVINO is not installed, cannot run the prefix, or the processor has no bfloat16.
    """

    def __init__(self, prefix: Any, precision: str = "float32") -> None:
        check_precision(precision)
        import_openvino()
        if precision == "bfloat16" and "BF16" not in _core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            raise EngineError(
                "The engine 'openvino' cannot compute in bfloat16 here: this processor has no instructions for it. "
                "Use precision='float32'."
            )
        self._precision = precision
        self._dtypes = [np.dtype(tensor.dtype) for tensor in prefix.outputs]
        self._shapes = [tuple(tensor.shape[1:]) for tensor in prefix.outputs]
        cores = count_cores()
        model = convert(prefix, _REQUEST_BATCH)
        options = {
            "INFERENCE_PRECISION_HINT": _PRECISION_HINTS[precision],
            "NUM_STREAMS": cores,
            "INFERENCE_NUM_THREADS": cores,
            # Decoding needs the same cores; the operating system shares them out better than a fixed place does.
            "ENABLE_CPU_PINNING": False,
            # CPU_DENORMALS_OPTIMIZATION stays off: it also makes the caller's thread, NumPy in it, drop tiny numbers.
        }
        with refusing():
            self._compiled = _core().compile_model(model, "CPU", options)
        self._images_ahead = max(_IMAGES_AHEAD, 2 * cores)
        self._idle: list[Any] = []

    def describe(self) -> dict[str, Any]:
        """Name, precision, batch shape and OpenVINO's version."""
        return describe(self._precision)

    def run(self, images: np.ndarray) -> list[np.ndarray]:
        """Features of uint8 or float images (n, height, width, channels), one array (n, ...) per crossing tensor."""
        return joined(list(self.answers(in_parts(images))))

    def answers(self, batches: Iterable[np.ndarray]) -> Generator[list[np.ndarray], None, None]:
        """What `run` gives for each batch, in order.

        Reads ahead until two batches of 32, or as many images in other batches, are on their way.
        """
        line = _Line(self._compiled, self._idle, self._images_ahead + ENGINE_BATCH)
        error = None
        try:
            reading = iter(batches)
            while True:
                try:
                    images = next(reading)
                except StopIteration:
                    break
                except Exception as raised:
                    error = raised
                    break
                line.put(images, self._empty(len(images)))
                while line.images_behind_first >= self._images_ahead:
                    yield line.take()
            while line:
                yield line.take()
        finally:
            line.give_up()
        if error is not None:
            raise error

    def _empty(self, count: int) -> list[np.ndarray]:
        return [np.empty((count, *shape), dtype) for shape, dtype in zip(self._shapes, self._dtypes, strict=True)]


class _Line:
    """The images that one caller has on their way, first in, first out.

    OpenVINO's own queue calls back from its threads, which then have to wait for Python; here Python fetches.

    Args:
        compiled: the compiled model.
        idle: requests that may be used again; those that are free come back here.
        limit: requests that are on their way at most, however large the batches are.
    """

    def __init__(self, compiled: Any, idle: list[Any], limit: int) -> None:
        self._compiled = compiled
        self._idle = idle
        self._limit = limit
        self._batches: deque[list[np.ndarray]] = deque()
        # Each request with where its answer goes: the batch's arrays and the row in them.
        self._requests: deque[tuple[Any, list[np.ndarray], int]] = deque()

    def __len__(self) -> int:
        """How many batches have not been taken."""
        return len(self._batches)

    @property
    def images_behind_first(self) -> int:
        """How many images were put in after the batch that is taken next."""
        return sum(len(answers[0]) for answers in list(self._batches)[1:])

    def put(self, images: np.ndarray, answers: list[np.ndarray]) -> None:
        """Sends a batch on its way; its answers will be written into the arrays."""
        self._batches.append(answers)
        for row in range(len(images)):
            if len(self._requests) >= self._limit:
                self._fetch()
            # Another thread may take the last idle one between a look and a grasp.
            try:
                request = self._idle.pop()
            except IndexError:
                request = self._compiled.create_infer_request()
            # A copy: whoever made the batch may use its memory again.
            request.get_input_tensor(0).data[...] = images[row : row + 1]
            request.start_async()
            self._requests.append((request, answers, row))

    def take(self) -> list[np.ndarray]:
        """The answers for the first batch, when they are complete."""
        first = self._batches[0]
        while self._requests and self._requests[0][1] is first:
            self._fetch()
        return self._batches.popleft()

    def give_up(self) -> None:
        """Stops what is on its way and waits until it has stopped; does nothing where all was taken."""
        for request, _, _ in self._requests:
            request.cancel()
        while self._requests:
            request = self._requests[0][0]
            # A request that was cancelled says so by an error; it is not used again.
            with suppress(RuntimeError):
                request.wait()
            self._requests.popleft()
        self._batches.clear()

    def _fetch(self) -> None:
        """Waits for the first request and writes its answer where it belongs."""
        request, answers, row = self._requests[0]
        request.wait()
        for index, answer in enumerate(answers):
            answer[row : row + 1] = request.get_output_tensor(index).data
        self._requests.popleft()
        self._idle.append(request)


def describe(precision: str) -> dict[str, Any]:
    """What the answers of an `OpenVinoEngine` depend on."""
    return {"name": "openvino", "precision": precision, "batch": _REQUEST_BATCH, "version": openvino_version()}


@cache
def _core() -> Any:
    """OpenVINO's runtime; it wants to be one per process."""
    return import_openvino().Core()
