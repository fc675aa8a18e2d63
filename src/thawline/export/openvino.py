"""OpenVINO's own format: the fastest on Intel's processors. Takes "images", uint8, any number of them."""

import json
import tempfile
from importlib import import_module
from pathlib import Path

from thawline.errors import EngineError, MissingDependencyError
from thawline.export.servable import Servable, import_tensorflow, refusing, traced
from thawline.features.engines.conversion import import_openvino

FILE = "model.xml"


def write(servable: Servable, folder: Path) -> None:
    """Writes the model into a folder; weights stay float32. Tells nobody about it.

    Raises:
        MissingDependencyError: OpenVINO is not installed.
        ExportError: a layer does what OpenVINO cannot.
    """
    import_tensorflow()
    try:
        openvino = import_openvino()
    except EngineError as error:
        raise MissingDependencyError(
            "Export as openvino needs the package 'openvino': run  pip install 'thawline[openvino]'."
        ) from error
    freezing = import_module("tensorflow.python.framework.convert_to_constants")
    advice = "Export as saved_model, which holds whatever TensorFlow computes."
    with refusing("openvino", advice), tempfile.TemporaryDirectory() as temporary:
        function = traced(servable).get_concrete_function()
        # `openvino.convert_model` would report to its maker; reading a file of TensorFlow's does not.
        frozen = freezing.convert_variables_to_constants_v2(function)
        graph = Path(temporary) / "graph.pb"
        graph.write_bytes(frozen.graph.as_graph_def().SerializeToString())
        model = openvino.Core().read_model(graph)
        # TensorFlow sorts answers by their names.
        for name, tensor in zip(sorted(servable.names), frozen.outputs, strict=True):
            model.output(tensor.name).get_tensor().set_names({name})
        model.inputs[0].get_tensor().set_names({"images"})
        model.set_rt_info(json.dumps(servable.class_names), ["thawline", "class_names"])
        model.set_rt_info(json.dumps(servable.reading), ["thawline", "reading"])
        openvino.save_model(model, folder / FILE, compress_to_fp16=False)
