"""Engines: who runs the frozen prefix over batches of images, and which of them is the right one here."""
