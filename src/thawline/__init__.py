"""thawline: train models stacked in series on folders of images."""
