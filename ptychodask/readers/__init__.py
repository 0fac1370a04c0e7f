"""Files of counts that others wrote: a format is one file here and one line in :mod:`ptychodask.readers.registry`."""
