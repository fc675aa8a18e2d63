"""Lets Pillow write HEIF in tests where pillow-heif is installed."""

from importlib import import_module

from thawline.data.formats import FORMATS

if "HEIF" in FORMATS:
    import_module("pillow_heif").register_heif_opener()
