"""The stages one after the other, in one run directory; what train.py and evaluate.py hand over to."""
