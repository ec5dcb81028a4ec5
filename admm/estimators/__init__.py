"""Estimators by scikit-learn's conventions: arrays in, predictions out, no files in between."""
