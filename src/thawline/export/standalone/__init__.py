"""Parts of the readers that lie beside exported models; see `thawline.export.reader`. They import nothing of thawline
but what is put into the same file."""
