"""The names of engines, precisions and storages, as users write them."""

from typing import Literal

EngineName = Literal["auto", "keras", "openvino"]
Precision = Literal["float32", "bfloat16"]
StorageName = Literal["float32", "float16", "bfloat16", "auto"]
